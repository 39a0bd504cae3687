%% SPDX-License-Identifier: Apache-2.0
%%
%% What `make bench` does in the node: requests that pass through changed
%% modules, and the ways of others to exchange these.
-module(nzd_bench).

-export([start/3, open/0, close/0]).
-export([handler_ready/3, handler/1, loop/2, versions/2, by_hand/0]).

-define(CHAIN, 4).
-define(SLOW_MS, 10).

%% --- requests ---------------------------------------------------------------

%% Fast clients answer PerSecond requests, each of which passes through four
%% of the modules 1..Count, one calling the other; two of Slow's each wait in
%% between, as for a database.
-spec start(pos_integer(), {pos_integer(), pos_integer()}, non_neg_integer()) -> ok.
start(Count, {Fast, PerSecond}, Slow) ->
    Self = self(),
    Pid = spawn(fun() ->
        register(?MODULE, self()),
        Clients = [fast(S, Count) || S <- lists:seq(0, Fast - 1)],
        Waiting = [slow(S, Count) || S <- lists:seq(0, Slow - 1)],
        Counts = counters:new(2, []),
        persistent_term:put(?MODULE, Counts),
        nzd_bench_pace:start([element(1, C) || C <- Clients], PerSecond),
        Self ! {self(), started},
        manage(Count, maps:from_list(index(Clients, fast) ++ index(Waiting, slow)), 0)
    end),
    receive
        {Pid, started} -> ok
    end.

index(Pids, Kind) ->
    [{Ref, {Kind, Slot}} || {Slot, {_, Ref}} <- lists:zip(lists:seq(0, length(Pids) - 1), Pids)].

fast(Slot, Count) ->
    Chain = chain(Slot, Count),
    spawn_monitor(fun() -> fast_loop(Chain) end).

slow(Slot, Count) ->
    Chain = chain(Slot, Count),
    spawn_monitor(fun() -> slow_loop(Chain, 0) end).

chain(Slot, Count) ->
    [
        list_to_atom(lists:flatten(io_lib:format("many_~3..0b", [(Slot + I * Count div ?CHAIN) rem Count + 1])))
     || I <- lists:seq(0, ?CHAIN - 1)
    ].

%% One that is killed is started again, as a supervisor would.
manage(Count, Clients, Killed) ->
    receive
        {'DOWN', Ref, process, _, _} when is_map_key(Ref, Clients) ->
            {Kind, Slot} = maps:get(Ref, Clients),
            {Pid, New} =
                case Kind of
                    fast -> fast(Slot, Count);
                    slow -> slow(Slot, Count)
                end,
            _ = [nzd_bench_pace:replace(Slot, Pid) || Kind =:= fast],
            manage(Count, maps:put(New, {Kind, Slot}, maps:remove(Ref, Clients)), Killed + 1);
        open ->
            manage(Count, Clients, 0);
        {killed, From} ->
            From ! {killed, Killed},
            manage(Count, Clients, Killed)
    end.

fast_loop(Chain) ->
    receive
        {request, At} ->
            nzd_bench_pace:done(At, answer(Chain, fun nothing/0)),
            fast_loop(Chain)
    end.

slow_loop(Chain, N) ->
    Kind = answer(Chain, fun wait/0),
    _ = [counters:add(persistent_term:get(?MODULE), 1, 1) || Kind >= 2],
    counters:add(persistent_term:get(?MODULE), 2, 1),
    slow_loop(Chain, N + 1).

nothing() -> [].

wait() ->
    receive
    after ?SLOW_MS -> []
    end.

answer(Chain, Last) ->
    try lists:usort(pass(Chain, Last)) of
        [_] -> 0;
        [_ | _] -> 1
    catch
        error:undef -> 3;
        _:_ -> 2
    end.

pass([M], Last) ->
    M:through(Last);
pass([M | Rest], Last) ->
    M:through(fun() -> pass(Rest, Last) end).

-spec open() -> ok.
open() ->
    counters:put(persistent_term:get(?MODULE), 1, 0),
    counters:put(persistent_term:get(?MODULE), 2, 0),
    ?MODULE ! open,
    nzd_bench_pace:open().

%% Sent, mixed, failed, undef, killed, gap, median, p99.9, longest (ns): as text.
-spec close() -> {nzd_text, iolist()}.
close() ->
    {Sent, Whole, Mixed, Failed, Undef, Gap, Median, P999, Longest} = nzd_bench_pace:close(),
    SlowFailed = counters:get(persistent_term:get(?MODULE), 1),
    Unanswered = Sent - Whole - Mixed - Failed - Undef,
    ?MODULE ! {killed, self()},
    Killed = receive {killed, K} -> K end,
    {nzd_text,
        io_lib:format("~b ~b ~b ~b ~b ~b ~b ~b ~b", [
            Sent, Mixed, Failed + Unanswered + SlowFailed, Undef, Killed, Gap, Median, P999, Longest
        ])}.

%% --- the ways of others -----------------------------------------------------

%% What runs: the version of each module 1..Count, without repetition.
-spec versions(pos_integer(), [atom()]) -> [term()].
versions(_Count, Modules) ->
    lists:usort([M:version() || M <- Modules]).

%% Unpacked, as release_handler calls it, and not measured.
-spec handler_ready(string(), string(), string()) -> ok.
handler_ready(Base, To, Vsn) ->
    {ok, Vsn} = release_handler:set_unpacked(
        filename:join([To, "releases", Vsn, "many.rel"]),
        [{many, Vsn, filename:join(To, "lib")}]
    ),
    Own = filename:join([Base, "releases", Vsn]),
    ok = filelib:ensure_dir(filename:join(Own, "x")),
    [
        {ok, _} = file:copy(filename:join([To, "releases", Vsn, F]), filename:join(Own, F))
     || F <- ["relup", "sys.config", "start.boot"]
    ],
    ok.

%% Microseconds.
-spec handler(string()) -> non_neg_integer().
handler(Vsn) ->
    element(1, timer:tc(fun() -> {ok, _, _} = release_handler:install_release(Vsn) end)).

-spec loop(string(), [module()]) -> non_neg_integer().
loop(Ebin, Modules) ->
    element(1, timer:tc(fun() ->
        [
            begin
                code:purge(M),
                code:delete(M),
                {module, M} = code:load_abs(filename:join(Ebin, atom_to_list(M)))
            end
         || M <- Modules
        ]
    end)).

%% Takes code, prepares it at low priority, and loads all of it at one instant
%% when it is told to; answers the microseconds that took.
-spec by_hand() -> ok.
by_hand() ->
    spawn_opt(
        fun() ->
            true = register(nzd_bench_hand, self()),
            prepare([])
        end,
        [{priority, low}]
    ),
    ok.

prepare(Prepared) ->
    receive
        {code, M, Path, Code} ->
            {ok, {'$prepared$', L}} = code:prepare_loading([{M, Path, Code}]),
            prepare(L ++ Prepared);
        {prepared, From} ->
            From ! prepared,
            prepare(Prepared);
        {finish, From} ->
            process_flag(priority, normal),
            {Us, ok} = timer:tc(fun() -> code:finish_loading({'$prepared$', Prepared}) end),
            From ! {finished, Us}
    end.
