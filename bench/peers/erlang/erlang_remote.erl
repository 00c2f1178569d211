%% The workloads of remote delivery on Erlang's distribution: this node is the hub, and others are started that send to
%% it, or answer; started by erlang_remote.sh. Otherwise as erlang_bench.erl.
-module(erlang_remote).
-export([main/1, source/3, echo/1]).

-define(NODES, 8).

main([Workload | Options]) ->
    Ops = case Options of [Given] -> list_to_integer(Given); [] -> default(Workload) end,
    {Done, Seconds, Extra} = run(Workload, Ops),
    io:format("{\"workload\":\"~s\",\"impl\":\"erlang\",\"version\":\"~s\",\"workers\":~b,\"ops\":~b,"
              "\"seconds\":~.6f,\"ops_per_s\":~b~s}~n",
              [Workload, erlang:system_info(otp_release), erlang:system_info(schedulers_online), Done, Seconds,
               round(Done / Seconds), Extra]),
    halt(0, [{flush, true}]).

default("remote_throughput") -> 400000;
default("remote_throughput_1k") -> 200000;
default("remote_fanin") -> 800000;
default("remote_latency") -> 40000.

run("remote_throughput", Ops) -> throughput(1, erlang:system_info(schedulers_online), 64, Ops);
run("remote_throughput_1k", Ops) -> throughput(1, erlang:system_info(schedulers_online), 1024, Ops);
run("remote_fanin", Ops) -> throughput(?NODES, 1, 64, Ops);

run("remote_latency", Ops) ->
    Node = node_start(1, erlang:system_info(schedulers_online)),
    Echo = spawn(Node, ?MODULE, echo, [self()]),
    receive {ready, Echo} -> ok end,
    Load = binary:copy(<<"x">>, 64),
    _ = trips(Ops div 10, Echo, Load, []),
    Took = lists:sort(trips(Ops, Echo, Load, [])),
    At = fun(Index) -> lists:nth(Index + 1, Took) / 1000 end, % see bench/trips.h
    {Ops, lists:sum(Took) / 1.0e9, io_lib:format(",\"p50_us\":~.2f,\"p99_us\":~.2f,\"p999_us\":~.2f",
        [At(Ops div 2), At(Ops - 1 - Ops div 100), At(Ops - 1 - Ops div 1000)])}.

node_start(Number, Schedulers) ->
    All = integer_to_list(Schedulers),
    Name = "other" ++ integer_to_list(Number),
    {ok, _, Node} = peer:start_link(#{name => Name, host => "127.0.0.1", longnames => true,
        args => ["-setcookie", "bench", "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "+S", All ++ ":" ++ All,
                 "-pa", "build/peers"]}),
    Node.

%% A message is {parcel, Load}; done when the last one is here.

throughput(Nodes, Schedulers, Size, Given) ->
    Ops = Given - Given rem Nodes,
    Sources = [spawn(node_start(I, Schedulers), ?MODULE, source, [self(), Ops div Nodes, Size])
               || I <- lists:seq(1, Nodes)],
    [receive {ready, Source} -> ok end || Source <- Sources],
    Start = now_ns(),
    [Source ! proceed || Source <- Sources],
    sink(Ops),
    {Ops, (now_ns() - Start) / 1.0e9, ""}.

source(Hub, Count, Size) ->
    Hub ! {ready, self()},
    receive proceed -> ok end,
    send(Hub, Count, binary:copy(<<"x">>, Size)).

send(_, 0, _) -> ok;
send(Hub, Left, Load) -> Hub ! {parcel, Load}, send(Hub, Left - 1, Load).

sink(0) -> ok;
sink(Left) -> receive {parcel, _} -> sink(Left - 1) end.

trips(0, _, _, Took) -> Took;
trips(Left, Echo, Load, Took) ->
    Start = now_ns(),
    Echo ! {self(), Load},
    receive {Echo, _} -> ok end,
    trips(Left - 1, Echo, Load, [now_ns() - Start | Took]).

echo(Hub) ->
    Hub ! {ready, self()},
    answer().

answer() -> receive {From, Load} -> From ! {self(), Load}, answer() end.

now_ns() -> erlang:monotonic_time(nanosecond).
