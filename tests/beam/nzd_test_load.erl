%% SPDX-License-Identifier: Apache-2.0
%% Requests in the background: processes that call a function again and again
%% and count what comes back, while a test reloads the code under them.
-module(nzd_test_load).

-export([start/5, calls/1, stop/1, report/1]).

-define(RESULTS, 100).

-record(seen, {
    ok = 0,
    undef = 0,
    fail = 0,
    longest = 0,
    results = #{},
    errors = #{}
}).

%% Starts Workers processes, each of which calls M:F(A...) and then rests for
%% Pause ms (0: not at all).
-spec start(pos_integer(), non_neg_integer(), module(), atom(), [term()]) -> pid().
start(Workers, Pause, M, F, A) ->
    spawn(fun() ->
        Calls = counters:new(1, [write_concurrency]),
        Pids = [
            element(1, spawn_monitor(fun() -> work(#seen{}, Calls, Pause, {M, F, A}) end))
         || _ <- lists:seq(1, Workers)
        ],
        manage(Pids, Calls)
    end).

%% How many calls have ended so far.
-spec calls(pid() | atom()) -> non_neg_integer().
calls(Load) ->
    ask(Load, calls).

%% {Ok, Undef, Fail, Killed, LongestMicroseconds, Results, Errors}: how many
%% calls returned, died of undef, died of something else; workers that ended
%% by themselves or were killed; the longest call; what was returned and
%% raised, each with its count (of the first distinct ones).
-spec stop(pid() | atom()) -> tuple().
stop(Load) ->
    ask(Load, stop).

%% stop/1 as lines of text: the numbers, the results, the errors.
-spec report(pid() | atom()) -> {nzd_text, iolist()}.
report(Load) ->
    {Ok, Undef, Fail, Killed, Longest, Results, Errors} = stop(Load),
    {nzd_text,
        io_lib:format("~b ~b ~b ~b ~b~n~0tp~n~0tp",
            [Ok, Undef, Fail, Killed, Longest, Results, Errors])}.

ask(Load, Question) ->
    Ref = monitor(process, Load),
    Load ! {Question, self(), Ref},
    receive
        {Ref, Answer} ->
            demonitor(Ref, [flush]),
            Answer;
        {'DOWN', Ref, process, _, Reason} ->
            error({load, Reason})
    end.

manage(Pids, Calls) ->
    receive
        {calls, From, Ref} ->
            From ! {Ref, counters:get(Calls, 1)},
            manage(Pids, Calls);
        {stop, From, Ref} ->
            [Pid ! stop || Pid <- Pids],
            From ! {Ref, collect(length(Pids), 0, #seen{})}
    end.

collect(0, Killed, #seen{} = S) ->
    {S#seen.ok, S#seen.undef, S#seen.fail, Killed, S#seen.longest,
        maps:to_list(S#seen.results), maps:to_list(S#seen.errors)};
collect(N, Killed, Sum) ->
    receive
        {'DOWN', _, process, _, #seen{} = Seen} -> collect(N - 1, Killed, add(Seen, Sum));
        {'DOWN', _, process, _, _Reason} -> collect(N - 1, Killed + 1, Sum)
    end.

add(A, B) ->
    Merge = fun(X, Y) ->
        maps:fold(fun(K, V, M) -> note(K, V, M) end, X, Y)
    end,
    #seen{
        ok = A#seen.ok + B#seen.ok,
        undef = A#seen.undef + B#seen.undef,
        fail = A#seen.fail + B#seen.fail,
        longest = max(A#seen.longest, B#seen.longest),
        results = Merge(A#seen.results, B#seen.results),
        errors = Merge(A#seen.errors, B#seen.errors)
    }.

work(Seen, Calls, Pause, MFA) ->
    receive
        stop -> exit(Seen)
    after Pause ->
        Next = call(Seen, MFA),
        counters:add(Calls, 1, 1),
        work(Next, Calls, Pause, MFA)
    end.

call(Seen, {M, F, A}) ->
    Begin = erlang:monotonic_time(microsecond),
    Answer =
        try
            {ok, apply(M, F, A)}
        catch
            error:undef:Stack -> {undef, hd(Stack)};
            Class:Reason -> {fail, {Class, Reason}}
        end,
    Took = erlang:monotonic_time(microsecond) - Begin,
    count(Answer, Seen#seen{longest = max(Took, Seen#seen.longest)}).

count({ok, Result}, Seen) ->
    Seen#seen{ok = Seen#seen.ok + 1, results = note(Result, 1, Seen#seen.results)};
count({undef, Where}, Seen) ->
    Seen#seen{undef = Seen#seen.undef + 1, errors = note({undef, Where}, 1, Seen#seen.errors)};
count({fail, Why}, Seen) ->
    Seen#seen{fail = Seen#seen.fail + 1, errors = note(Why, 1, Seen#seen.errors)}.

note(Key, Count, Map) ->
    case Map of
        #{Key := N} -> Map#{Key := N + Count};
        #{} when map_size(Map) < ?RESULTS -> Map#{Key => Count};
        #{} -> maps:update_with(more, fun(N) -> N + Count end, Count, Map)
    end.
