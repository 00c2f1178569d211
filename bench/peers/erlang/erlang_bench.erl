%% The workloads of soma_bench on Erlang/OTP: plain processes and messages, `--workers` schedulers (+S, given by
%% compare.sh). One JSON line a run. See bench/README.md for the workloads.
-module(erlang_bench).
-behaviour(supervisor).
-export([main/1, init/1, mortal_start/1, leaf_start/0, middle_start/1]).

-define(RING, 503).
-define(SENDERS, 100).
-define(BURST, 100).
-define(WAVE, 1000).

main([Workload | Options]) ->
    Ops = option("--ops", Options, default(Workload)),
    {Done, Seconds, Extra} = run(Workload, Ops),
    Peak = peak_rss(),
    io:format("{\"workload\":\"~s\",\"impl\":\"erlang\",\"version\":\"~s\",\"workers\":~b,\"ops\":~b,"
              "\"seconds\":~.6f,\"ops_per_s\":~b~s,\"peak_rss_bytes\":~b}~n",
              [Workload, erlang:system_info(otp_release), erlang:system_info(schedulers_online), Done, Seconds,
               round(Done / Seconds), Extra, Peak]),
    halt(0, [{flush, true}]).

option(_, [], Default) -> Default;
option(Name, [Name, Value | _], _) -> list_to_integer(Value);
option(Name, [_ | Rest], Default) -> option(Name, Rest, Default).

default("ring") -> 5000000;
default("pingpong") -> 5000000;
default("fanin") -> 5000000;
default("spawn") -> 1000000;
default("churn") -> 1000000;
default("skynet") -> 1111111;
default("timers") -> 1000000;
default("overload") -> 1000000;
default("monitor") -> 10000000;
default("down") -> 1000000;
default("restart") -> 50000;
default("tree") -> 100000.

now_ns() -> erlang:monotonic_time(nanosecond).

since(Start) -> (now_ns() - Start) / 1.0e9.

%% ring and ping-pong

run("ring", Ops) -> round_trip(?RING, Ops);
run("pingpong", Ops) -> round_trip(2, Ops);

%% fan-in: a hundred senders, bursts of a hundred a turn

run("fanin", Given) ->
    Ops = Given - Given rem ?SENDERS,
    Self = self(),
    Receiver = spawn(fun() -> receiver(Self, Ops) end),
    Senders = [spawn(fun() -> sender(Receiver, Ops div ?SENDERS) end) || _ <- lists:seq(1, ?SENDERS)],
    Start = now_ns(),
    [S ! proceed || S <- Senders],
    receive done -> ok end,
    {Ops, since(Start), ""};

%% spawn: idle processes that each got one message

run("spawn", Ops) ->
    Self = self(),
    Counter = counters:new(1, [write_concurrency]),
    Before = rss(),
    Start = now_ns(),
    spawn(fun() -> spawn_all(Ops, Counter, Self, Ops) end),
    receive done -> ok end,
    Seconds = since(Start),
    {Ops, Seconds, io_lib:format(",\"rss_bytes_per_agent\":~.1f", [(rss() - Before) / Ops])};

%% churn: waves of processes that answer and end

run("churn", Given) ->
    Ops = Given - Given rem ?WAVE,
    Self = self(),
    Start = now_ns(),
    spawn(fun() -> wave(), churn(0, Ops), Self ! done end),
    receive done -> ok end,
    {Ops, since(Start), ""};

%% skynet: a tree of ten children a node

run("skynet", _) ->
    Self = self(),
    Start = now_ns(),
    spawn(fun() -> node_start(Self, 0, 1000000) end),
    receive {sum, 499999500000} -> ok end,
    {1111111, since(Start), ""};

%% timers: all pending at once, all due at one moment; the wait between is not counted

run("timers", Ops) ->
    Self = self(),
    spawn(fun() ->
        Start = now_ns(),
        Due = erlang:monotonic_time(millisecond) + 3000,
        arm(Ops, Due),
        Set = now_ns() - Start,
        due(Ops),
        Self ! {done, (Set + now_ns() - Due * 1000000) / 1.0e9}
    end),
    receive {done, Seconds} -> {Ops, Seconds, ""} end;

%% overload: senders that send for as long as there is anything to send, and a slow receiver; see bench/faults.c

run("overload", Ops) ->
    Self = self(),
    Before = now_ns(),
    toil(Ops),
    Limit = Ops / since(Before),
    Receiver = spawn(fun() -> toiler(Self, Ops) end),
    Sent = atomics:new(1, []),
    Senders = [spawn(fun() -> pusher(Receiver, Sent, Ops) end) || _ <- lists:seq(1, ?SENDERS)],
    Start = now_ns(),
    [S ! proceed || S <- Senders],
    receive done -> ok end,
    Seconds = since(Start),
    {Ops, Seconds, io_lib:format(",\"ops_per_s_limit\":~b,\"of_limit\":~.4f", [round(Limit), Ops / Seconds / Limit])};

%% monitor: set and ended again and again; done when the other process has had the last word of it

run("monitor", Ops) ->
    Self = self(),
    Watched = spawn(fun() -> receive stop -> Self ! done end end),
    Start = now_ns(),
    spawn(fun() -> watch(Watched, Ops), Watched ! stop end),
    receive done -> ok end,
    {Ops, since(Start), ""};

%% down: a process is spawned, ends, and is spawned anew at word of its end

run("down", Ops) ->
    Self = self(),
    Start = now_ns(),
    spawn(fun() -> replace(Ops), Self ! done end),
    receive done -> ok end,
    {Ops, since(Start), ""};

%% restart: a child that ends at its first message, and its supervisor; see bench/trees.c. No reports are logged.

run("restart", Ops) ->
    logger:set_primary_config(level, none),
    Self = self(),
    spawn(fun() ->
        Giver = self(),
        Start = now_ns(),
        {ok, _} = supervisor:start_link(?MODULE, {restart, Giver}),
        give(Ops),
        Self ! {done, since(Start)},
        receive never -> ok end
    end),
    receive {done, Seconds} -> {Ops, Seconds, ""} end;

%% tree: a hundred supervisors under one start, and shut down

run("tree", Given) ->
    Ops = Given - Given rem 100,
    Self = self(),
    Start = now_ns(),
    spawn(fun() ->
        process_flag(trap_exit, true),
        {ok, Top} = supervisor:start_link(?MODULE, {top, Ops div 100}),
        exit(Top, shutdown),
        receive {'EXIT', Top, shutdown} -> Self ! done end
    end),
    receive done -> ok end,
    {Ops, since(Start), ""}.

init({restart, Giver}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1},
          [#{id => mortal, start => {?MODULE, mortal_start, [Giver]}}]}};
init({top, Each}) ->
    {ok, {#{strategy => one_for_one},
          [#{id => I, start => {?MODULE, middle_start, [Each]}, type => supervisor} || I <- lists:seq(1, 100)]}};
init({middle, Each}) ->
    {ok, {#{strategy => one_for_one}, [#{id => I, start => {?MODULE, leaf_start, []}} || I <- lists:seq(1, Each)]}}.

middle_start(Each) -> supervisor:start_link(?MODULE, {middle, Each}).

leaf_start() -> {ok, spawn_link(fun() -> receive never -> ok end end)}.

mortal_start(Giver) ->
    {ok, spawn_link(fun() -> Giver ! {born, self()}, receive stop -> ok end end)}.

give(0) -> receive {born, _} -> ok end;
give(N) -> receive {born, Pid} -> Pid ! stop end, give(N - 1).

round_trip(Count, Ops) ->
    Self = self(),
    All = [spawn(fun() -> station_start(Self) end) || _ <- lists:seq(1, Count)],
    link_up(All, hd(All)),
    Start = now_ns(),
    hd(All) ! {token, Ops},
    receive done -> ok end,
    {Ops, since(Start), ""}.

link_up([Last], First) -> Last ! {next, First};
link_up([A, B | Rest], First) -> A ! {next, B}, link_up([B | Rest], First).

station_start(Main) -> receive {next, Next} -> station(Next, Main) end.

station(Next, Main) ->
    receive
        {token, 0} -> Main ! done;
        {token, N} -> Next ! {token, N - 1}, station(Next, Main)
    end.

receiver(Main, 0) -> Main ! done;
receiver(Main, Left) -> receive item -> receiver(Main, Left - 1) end.

sender(_, 0) -> ok;
sender(To, Left) ->
    receive proceed -> ok end,
    Burst = min(?BURST, Left),
    burst(To, Burst),
    self() ! proceed,
    sender(To, Left - Burst).

burst(_, 0) -> ok;
burst(To, N) -> To ! item, burst(To, N - 1).

spawn_all(0, _, _, _) -> ok;
spawn_all(Left, Counter, Main, Ops) ->
    spawn(fun() -> idler(Counter, Main, Ops, 0) end) ! poke,
    spawn_all(Left - 1, Counter, Main, Ops).

idler(Counter, Main, Ops, Pokes) ->
    receive
        poke ->
            counters:add(Counter, 1, 1),
            case counters:get(Counter, 1) of Ops -> Main ! done; _ -> ok end,
            idler(Counter, Main, Ops, Pokes + 1)
    end.

wave() ->
    Self = self(),
    [spawn(fun() -> receive {poke, To} -> To ! item end end) ! {poke, Self} || _ <- lists:seq(1, ?WAVE)].

churn(Done, Ops) ->
    receive item -> ok end,
    case Done + 1 of
        Ops -> ok;
        Next when Next rem ?WAVE =:= 0 -> wave(), churn(Next, Ops);
        Next -> churn(Next, Ops)
    end.

node_start(Parent, First, 1) -> Parent ! {sum, First};
node_start(Parent, First, Leaves) ->
    Self = self(),
    Each = Leaves div 10,
    [spawn(fun() -> node_start(Self, First + I * Each, Each) end) || I <- lists:seq(0, 9)],
    Parent ! {sum, gather(10, 0)}.

gather(0, Total) -> Total;
gather(N, Total) -> receive {sum, Value} -> gather(N - 1, Total + Value) end.

arm(0, _) -> ok;
arm(N, Due) -> erlang:send_after(Due, self(), due, [{abs, true}]), arm(N - 1, Due).

due(0) -> ok;
due(N) -> receive due -> due(N - 1) end.

toil(0) -> ok;
toil(N) -> spin(now_ns()), toil(N - 1).

spin(Start) ->
    case now_ns() - Start < 1000 of
        true -> spin(Start);
        false -> ok
    end.

toiler(Main, 0) -> Main ! done;
toiler(Main, Left) -> receive item -> spin(now_ns()), toiler(Main, Left - 1) end.

pusher(To, Sent, Ops) ->
    receive proceed -> ok end,
    After = atomics:add_get(Sent, 1, ?BURST),
    burst(To, max(0, ?BURST - max(0, After - Ops))),
    case After < Ops of
        true -> self() ! proceed, pusher(To, Sent, Ops);
        false -> ok
    end.

watch(_, 0) -> ok;
watch(Watched, N) ->
    true = demonitor(monitor(process, Watched), [flush]),
    watch(Watched, N - 1).

replace(0) -> ok;
replace(N) ->
    {Pid, Ref} = spawn_monitor(fun() -> receive stop -> ok end end),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> replace(N - 1) end.

rss() ->
    {ok, Bytes} = file:read_file("/proc/self/statm"),
    [_, Resident | _] = string:split(Bytes, " ", all),
    binary_to_integer(Resident) * 4096.

peak_rss() ->
    {ok, Bytes} = file:read_file("/proc/self/status"),
    {match, [Kb]} = re:run(Bytes, "VmHWM:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kb) * 1024.
