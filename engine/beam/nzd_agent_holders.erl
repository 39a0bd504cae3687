%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: which processes hold structs of a module (maps with its name under
%% '__struct__'), in their state, as sys:get_state tells it, or in their
%% dictionary. A look, not a proof: it is bounded in time and size, wakes nobody,
%% and does not look into tables, messages or the heaps of other processes. What
%% was left out is counted.
%%
%% A gen_server that is asked anything begins its timeout anew: one that waits
%% with one is not asked, so that what ends an idle session still does.
-module(nzd_agent_holders).

-include("nzd_agent.hrl").

-export([start/3]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([keep/3, look/2]).

%% Milliseconds for a process to tell its state, and for all of it.
-define(READ, 200).
-define(ALL, 2000).
%% Words of heap of a process that is still copied; of the one that looks.
-define(COPIED, (1 bsl 17)).
-define(HEAP, (1 bsl 22)).
-define(PROCESSES, 5000).
%% Terms of one process that are visited.
-define(TERMS, 100000).
%% Holders of each struct that are named.
-define(NAMED, 5).
-define(BEHAVIOURS, [gen_server, gen_statem, gen_event, gen_fsm]).
%% Whose timeout is that of a receive; a gen_statem has timers.
-define(TIMED, [gen_server, gen_fsm]).

-record(seen, {
    wanted :: #{module() => true},
    %% #{Module => {how many, [{Pid, Where}]}}.
    found = #{} :: map(),
    looked = 0 :: non_neg_integer(),
    %% Its heap is large, or its terms are too many; it hibernates; it waits with
    %% a timeout; it did not tell; there was no time for it.
    large = 0 :: non_neg_integer(),
    asleep = 0 :: non_neg_integer(),
    timed = 0 :: non_neg_integer(),
    silent = 0 :: non_neg_integer(),
    left = 0 :: non_neg_integer()
}).

%% The answer goes to From: {holders, [{Module, Count, [{Pid, Name, Where}]}],
%% {Looked, Large, Asleep, Timed, Silent, Left}}, or {holders, none}.
-spec start(pid(), term(), [module()]) -> pid().
start(From, Ref, Modules) ->
    spawn(?MODULE, keep, [From, Ref, Modules]).

-spec keep(pid(), term(), [module()]) -> ok.
keep(From, Ref, Modules) ->
    Heap = #{size => ?HEAP, kill => true, error_logger => false},
    Options = [link, monitor, {priority, low}, {max_heap_size, Heap}],
    _ = process_flag(trap_exit, true),
    {Looker, Watched} = spawn_opt(?MODULE, look, [self(), Modules], Options),
    Answer =
        receive
            {'DOWN', Watched, process, Looker, {looked, Rows, Counts}} -> {holders, Rows, Counts};
            {'DOWN', Watched, process, Looker, _} -> {holders, none}
        after ?ALL + 2000 ->
            exit(Looker, kill),
            {holders, none}
        end,
    _ = nzd_agent:reply(From, Ref, Answer),
    ok.

-spec look(pid(), [module()]) -> no_return().
look(Keeper, Modules) ->
    Until = nzd_agent_text:now_ms() + ?ALL,
    Others = [P || P <- processes(), P =/= self(), P =/= Keeper],
    Seen = each(Others, Until, #seen{wanted = maps:from_keys(Modules, true)}),
    Rows = [
        {M, Count, [row(H) || H <- lists:reverse(Named)]}
     || {M, {Count, Named}} <- maps:to_list(Seen#seen.found)
    ],
    #seen{looked = Looked, large = Large, asleep = Asleep, timed = Timed} = Seen,
    #seen{silent = Silent, left = Left} = Seen,
    exit({looked, Rows, {Looked, Large, Asleep, Timed, Silent, Left}}).

row({P, Where}) ->
    {nzd_agent_text:text(pid_to_list(P)), nzd_agent_who:name(P), Where}.

each([], _Until, Seen) ->
    Seen;
each([P | Others], Until, Seen) ->
    case Seen#seen.looked < ?PROCESSES andalso nzd_agent_text:now_ms() < Until of
        true -> each(Others, Until, process(P, Seen));
        false -> Seen#seen{left = 1 + length(Others)}
    end.

process(P, Seen) ->
    case process_info(P, [total_heap_size, initial_call, current_function]) of
        undefined ->
            Seen;
        [{_, Words}, _, _] when Words > ?COPIED ->
            Seen#seen{large = Seen#seen.large + 1};
        [_, {_, Call}, {_, At}] ->
            Looked = Seen#seen{looked = Seen#seen.looked + 1},
            {Noted, Seen1} = dictionary(P, Looked),
            {Kept, Seen2} = state(P, Call, At, Seen1),
            maps:fold(fun(M, Where, All) -> note(M, {P, Where}, All) end, Seen2, wheres(Noted, Kept))
    end.

%% A process counts once.
wheres(Noted, Kept) ->
    maps:merge(
        maps:merge(
            maps:map(fun(_, _) -> <<"process dictionary">> end, Noted),
            maps:map(fun(_, _) -> <<"state">> end, Kept)
        ),
        maps:map(fun(_, _) -> <<"state and process dictionary">> end, maps:with(maps:keys(Noted), Kept))
    ).

dictionary(P, Seen) ->
    case process_info(P, dictionary) of
        {_, [_ | _] = Dictionary} -> holds(Dictionary, Seen);
        _ -> {#{}, Seen}
    end.

state(_P, {proc_lib, init_p, _}, ?ASLEEP, Seen) ->
    {#{}, Seen#seen{asleep = Seen#seen.asleep + 1}};
state(P, {proc_lib, init_p, _}, At, Seen) ->
    case tells(process_info(P, current_stacktrace)) of
        true -> told(P, is_timed(At, P), Seen);
        false -> {#{}, Seen}
    end;
state(_P, _Call, _At, Seen) ->
    {#{}, Seen}.

told(_P, true, Seen) ->
    {#{}, Seen#seen{timed = Seen#seen.timed + 1}};
told(P, false, Seen) ->
    try sys:get_state(P, ?READ) of
        State -> holds(State, Seen)
    catch
        _:_ -> {#{}, Seen#seen{silent = Seen#seen.silent + 1}}
    end.

%% A behaviour's loop is what proc_lib has called. Who only waits for an answer of
%% one has its own function there.
tells({current_stacktrace, [_ | _] = Stack}) ->
    case lists:reverse(Stack) of
        [{proc_lib, _, _, _}, {M, _, _, _} | _] -> lists:member(M, ?BEHAVIOURS);
        _ -> false
    end;
tells(_) ->
    false.

%% The time stands in a slot of its loop. If the number there is its state, or
%% after how long it hibernates, there is no struct to find, or no haste.
is_timed({M, _, _}, P) ->
    lists:member(M, ?TIMED) andalso
        case process_info(P, backtrace) of
            {backtrace, Text} -> re:run(Text, "^y\\([0-9]+\\) +[0-9]+$", [multiline]) =/= nomatch;
            undefined -> false
        end.

%%% --- terms ------------------------------------------------------------

holds(Term, #seen{wanted = Wanted, large = Large} = Seen) ->
    {Modules, Left} = find([Term], Wanted, ?TERMS, #{}),
    Cut =
        case Left of
            0 -> 1;
            _ -> 0
        end,
    {Modules, Seen#seen{large = Large + Cut}}.

note(M, Holder, #seen{found = Found} = Seen) ->
    {Count, Named} = maps:get(M, Found, {0, []}),
    More =
        case Count < ?NAMED of
            true -> [Holder | Named];
            false -> Named
        end,
    Seen#seen{found = Found#{M => {Count + 1, More}}}.

find([], _Wanted, Left, Found) ->
    {Found, Left};
find(_, _Wanted, 0, Found) ->
    {Found, 0};
find([#{'__struct__' := M} = Map | Rest], Wanted, Left, Found) when is_map_key(M, Wanted) ->
    find(members(Map, Rest), Wanted, Left - 1, Found#{M => true});
find([Map | Rest], Wanted, Left, Found) when is_map(Map) ->
    find(members(Map, Rest), Wanted, Left - 1, Found);
find([[Head | Tail] | Rest], Wanted, Left, Found) ->
    find([Head, Tail | Rest], Wanted, Left - 1, Found);
find([Tuple | Rest], Wanted, Left, Found) when is_tuple(Tuple) ->
    find(tuple_to_list(Tuple) ++ Rest, Wanted, Left - 1, Found);
find([Fun | Rest], Wanted, Left, Found) when is_function(Fun) ->
    {env, Held} = erlang:fun_info(Fun, env),
    find([Held | Rest], Wanted, Left - 1, Found);
find([_ | Rest], Wanted, Left, Found) ->
    find(Rest, Wanted, Left - 1, Found).

members(Map, Rest) ->
    maps:fold(fun(K, V, All) -> [K, V | All] end, Rest, Map).
