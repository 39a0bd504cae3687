%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the children of a supervisor over a change of its module. The
%% supervisor takes the new specifications by itself, in its code_change, and
%% keeps its children: those that its init/1 no longer names it would keep for
%% ever, and it starts none of the new ones.
%%
%% Which children are its init/1's, and not those of supervisor:start_child/2, is
%% known by calling it: in the old code before the load and in the new code
%% behind it, with the arguments of the supervisor, in a process of its own. A
%% supervisor whose init/1 cannot be called there is left as it is, and named.
%%
%% All can be repeated, and the undo of it is the same the other way round. An undo
%% has the supervisors keep what the code that goes has named, until it is settled:
%% who comes when that code is gone could not ask it any more.
-module(nzd_agent_children).

-include("nzd_agent.hrl").

-export([forget/1, ids/2, keep/1, kept/1, settle/4]).
%% Run in the supervisors themselves.
-export([forgotten/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([ids_init/1, settle_init/1]).

%% #{Supervisor => [Id] | unknown | none}, in the order they are started. They
%% are suspended. `none`: it starts what it is asked for.
-spec ids([{pid(), module()}], pos_integer()) -> map().
ids([], _Limit) ->
    #{};
ids(Supervisors, Limit) ->
    Deadline = erlang:monotonic_time(millisecond) + Limit,
    Tag = make_ref(),
    _ = [P ! {system, {self(), {Tag, P}}, get_state} || {P, _} <- Supervisors],
    Known = [{P, M, state(Tag, P, Deadline)} || {P, M} <- Supervisors],
    case run(ids_init, Known, Deadline) of
        {ok, Ids} -> maps:from_list(Ids);
        {error, _} -> maps:from_keys([P || {P, _} <- Supervisors], unknown)
    end.

state(Tag, P, Deadline) ->
    receive
        {{Tag, P}, State} -> State
    after left(Deadline) -> unknown
    end.

-spec ids_init([{pid(), module(), term()}]) -> no_return().
ids_init(Known) ->
    exit({done, [{P, ids_of(M, State)} || {P, M, State} <- Known]}).

%% Its last two fields are the module and the arguments, from OTP 24 to 28.
ids_of(M, State) when is_tuple(State), element(1, State) =:= state, tuple_size(State) > 2 ->
    Size = tuple_size(State),
    case element(Size - 1, State) of
        M -> named(catch M:init(element(Size, State)));
        _ -> unknown
    end;
ids_of(_M, #{'__struct__' := 'Elixir.DynamicSupervisor'}) ->
    none;
ids_of(_M, _State) ->
    unknown.

named({ok, {Flags, Children}}) when is_list(Children) ->
    case strategy(Flags) of
        simple_one_for_one -> none;
        _ -> [id(C) || C <- Children]
    end;
named(ignore) ->
    [];
named(_) ->
    unknown.

strategy(#{strategy := Strategy}) -> Strategy;
strategy({Strategy, _, _}) -> Strategy;
strategy(_) -> one_for_one.

id(#{id := Id}) -> Id;
id(Child) when is_tuple(Child) -> element(1, Child).

%% They are suspended.
-spec keep(map()) -> ok.
keep(Children) ->
    _ = [tell(P, kept_in(Ids)) || {P, Ids} <- maps:to_list(Children), is_list(Ids)],
    ok.

kept_in(Ids) ->
    fun(State) ->
        _ = put({?KEPT, ids}, Ids),
        State
    end.

-spec kept([{pid(), module()}]) -> map().
kept(Supervisors) ->
    maps:from_list([
        {P, Ids}
     || {P, _} <- Supervisors,
        {_, Dictionary} <- [process_info(P, dictionary)],
        {{?KEPT, ids}, Ids} <- Dictionary
    ]).

%% It is settled, or was not begun.
-spec forget(map()) -> ok.
forget(Children) ->
    _ = [tell(P, fun ?MODULE:forgotten/1) || {P, Ids} <- maps:to_list(Children), is_list(Ids)],
    ok.

-spec forgotten(term()) -> term().
forgotten(State) ->
    _ = erase({?KEPT, ids}),
    State.

tell(P, Fun) ->
    P ! {system, {nzd_agent_who:nobody(), nzd}, {replace_state, Fun}}.

%% Stops what is gone, the last one first, and then starts what is new. `first`:
%% the first that does not start ends it; `all`: the others are started.
%% {ok | {error, Why}, Rows}, each {started | stopped | failed | unknown,
%% Supervisor, Name, Child, Text}.
-spec settle(map(), map(), first | all, pos_integer()) -> {ok | {error, term()}, [tuple()]}.
settle(From, To, Until, Limit) ->
    Changes = [
        {P, maps:get(P, From, unknown), Ids}
     || {P, Ids} <- maps:to_list(To), maps:get(P, From, unknown) =/= Ids
    ],
    {Known, Unknown} = lists:partition(
        fun({_, Old, New}) -> is_list(Old) andalso is_list(New) end,
        Changes
    ),
    Rows = [row(unknown, P, none, <<>>) || {P, _, _} <- Unknown],
    Acts =
        [{stop, P, Id} || {P, Old, New} <- Known, Id <- lists:reverse(Old -- New)] ++
            [{start, P, Id} || {P, Old, New} <- Known, Id <- New -- Old],
    acts(Acts, Until, erlang:monotonic_time(millisecond) + Limit, Rows).

acts([], _Until, _Deadline, Rows) ->
    {ok, lists:reverse(Rows)};
acts([{What, P, Id} = Act | Rest], Until, Deadline, Rows) ->
    case run(settle_init, Act, Deadline) of
        {ok, done} ->
            Done =
                case What of
                    start -> started;
                    stop -> stopped
                end,
            acts(Rest, Until, Deadline, [row(Done, P, Id, <<>>) | Rows]);
        {ok, nothing} ->
            acts(Rest, Until, Deadline, Rows);
        {error, Why} ->
            {_, Pid, Name, Child, Text} = Row = row(failed, P, Id, nzd_agent_text:printed(Why)),
            case Until of
                first -> {{error, {child, Pid, Name, Child, Text}}, lists:reverse(Rows)};
                all -> acts(Rest, Until, Deadline, [Row | Rows])
            end
    end.

-spec settle_init({start | stop, pid(), term()}) -> no_return().
settle_init({start, P, Id}) ->
    case supervisor:restart_child(P, Id) of
        {error, Running} when Running =:= running; Running =:= restarting -> exit({done, nothing});
        {error, Why} -> exit({failed, Why});
        _ -> exit({done, done})
    end;
settle_init({stop, P, Id}) ->
    case supervisor:terminate_child(P, Id) of
        {error, not_found} ->
            exit({done, nothing});
        ok ->
            _ = supervisor:delete_child(P, Id),
            exit({done, done})
    end.

row(What, P, Id, Text) ->
    Pid = nzd_agent_text:text(pid_to_list(P)),
    {What, Pid, nzd_agent_who:name(P), nzd_agent_text:printed(Id), Text}.

%% A supervisor may be long at it: who waits for it is a process of its own.
run(Function, Argument, Deadline) ->
    {P, Ref} = spawn_monitor(?MODULE, Function, [Argument]),
    receive
        {'DOWN', Ref, process, P, {done, Value}} -> {ok, Value};
        {'DOWN', Ref, process, P, {failed, Why}} -> {error, Why};
        {'DOWN', Ref, process, P, Reason} -> {error, Reason}
    after left(Deadline) ->
        exit(P, kill),
        demonitor(Ref, [flush]),
        {error, timeout}
    end.

left(Deadline) ->
    max(0, Deadline - erlang:monotonic_time(millisecond)).
