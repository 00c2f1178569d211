%% The workload `names` on Erlang's global and pg, between two nodes: this one registers a process a name, the other one
%% is told. Both answer lookups from a table of the node that asks, so that is Soma's `names_cached`. Started by
%% erlang_remote.sh.
-module(erlang_names).
-export([main/1, bearer/0, memory/0, known/1]).

-define(SCOPE, bench).

main([_Workload | Options]) ->
    Given = case Options of [Ops] -> list_to_integer(Ops); [] -> none end,
    {ok, _} = pg:start(?SCOPE),
    All = erlang:system_info(schedulers_online),
    {ok, _, Other} = peer:start_link(#{name => "other", host => "127.0.0.1", longnames => true,
        args => ["-setcookie", "bench", "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
                 "+S", integer_to_list(All) ++ ":" ++ integer_to_list(All), "-pa", "build/peers"]}),
    {ok, _} = rpc:call(Other, pg, start, [?SCOPE]),
    global:sync(),
    global(Other, default(Given, 3000)),
    pg(Other, default(Given, 100000)),
    halt(0, [{flush, true}]).

default(none, Default) -> Default;
default(Given, _) -> Given.

%% global holds a lock on all nodes for each name: so few names

global(Other, Ops) ->
    Bearers = bearers(Ops),
    Before = memories(Other),
    Start = now_ns(),
    [yes = global:register_name(Name, Bearer) || {Name, Bearer} <- Bearers],
    say("names_register", "global", Ops, since(Start), memory_text(Before, memories(Other), Ops)),
    Again = now_ns(),
    [[Bearer = global:whereis_name(Name) || {Name, Bearer} <- Bearers] || _ <- lists:seq(1, 10)],
    say("names_cached", "global", 10 * Ops, since(Again), "").

%% pg does without; a group may have any number of members

pg(Other, Ops) ->
    Bearers = bearers(Ops),
    Before = memories(Other),
    Start = now_ns(),
    [ok = pg:join(?SCOPE, Name, Bearer) || {Name, Bearer} <- Bearers],
    await(Other, Ops),
    say("names_register", "pg", Ops, since(Start), memory_text(Before, memories(Other), Ops)),
    Again = now_ns(),
    [[[Bearer] = pg:get_members(?SCOPE, Name) || {Name, Bearer} <- Bearers] || _ <- lists:seq(1, 10)],
    say("names_cached", "pg", 10 * Ops, since(Again), "").

await(Other, Ops) ->
    case rpc:call(Other, ?MODULE, known, [?SCOPE]) of
        Ops -> ok;
        _ -> timer:sleep(1), await(Other, Ops)
    end.

known(Scope) -> length(pg:which_groups(Scope)).

bearers(Ops) ->
    [{iolist_to_binary(io_lib:format("bench/~7..0b", [I])), spawn(?MODULE, bearer, [])} || I <- lists:seq(1, Ops)].

bearer() -> receive stop -> ok end.

memories(Other) -> {rpc:call(Other, ?MODULE, memory, []), memory()}.

memory() ->
    [garbage_collect(Pid) || Pid <- processes()],
    erlang:memory(total).

memory_text({ServerBefore, ClientBefore}, {Server, Client}, Ops) ->
    io_lib:format(",\"name_bytes_server\":~.1f,\"name_bytes_client\":~.1f",
        [(Server - ServerBefore) / Ops, (Client - ClientBefore) / Ops]).

say(Workload, Impl, Ops, Seconds, Extra) ->
    io:format("{\"workload\":\"~s\",\"impl\":\"~s\",\"version\":\"~s\",\"workers\":~b,\"ops\":~b,"
              "\"seconds\":~.6f,\"ops_per_s\":~b~s}~n",
              [Workload, Impl, erlang:system_info(otp_release), erlang:system_info(schedulers_online), Ops, Seconds,
               round(Ops / Seconds), Extra]).

now_ns() -> erlang:monotonic_time(nanosecond).

since(Start) -> (now_ns() - Start) / 1.0e9.
