%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the switch, its undo, and what is purged behind them.
-module(nzd_agent_switch).

-include("nzd_agent.hrl").

-export([
    did/2,
    past_holders/2,
    purged_within/2,
    replaced/3,
    runs/3,
    start_purger/1,
    stop_purger/1,
    switch/1,
    undo/1
]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([purge_init/1]).

-spec switch(#state{}) -> {tuple(), #state{}}.
switch(#state{new = New, late = Late} = State) ->
    Modules = [M || {M, _} <- New] ++ [M || {M, _, _} <- Late],
    case make_room(Modules, element(3, State#state.chores), State) of
        {ok, Ready} ->
            Begin = erlang:monotonic_time(),
            Loaded = finish(New),
            Pause = nzd_agent_text:since(Begin),
            switched(Loaded, Pause, Ready#state{new = []});
        {{error, _} = Error, Blocked} ->
            {Error, nothing_loaded(Blocked)}
    end.

nothing_loaded(#state{ended = Ended} = State) ->
    (nzd_agent:reset(State))#state{phase = undone, ended = Ended}.

switched(ok, Pause, #state{late = Late} = State) ->
    case load_late(lists:reverse(Late)) of
        ok ->
            Changed = maps:keys(State#state.old),
            {{ok, Pause, nzd_agent_who:in_old_code(Changed)}, State};
        {error, _} = Error ->
            {_, Undone} = undo(State),
            {Error, Undone}
    end;
switched({error, _} = Error, _Pause, State) ->
    {Error, nothing_loaded(State)}.

%% One finish for all: the list inside a prepared term is that of
%% code:prepare_loading/1 with the lists of all put together.
finish([]) ->
    ok;
finish(Prepared) ->
    List = lists:append([L || {_, {'$prepared$', L}} <- Prepared]),
    case length(List) =:= length(Prepared) of
        true ->
            case code:finish_loading({'$prepared$', List}) of
                ok -> ok;
                {error, Why} -> {error, {finish, Why}}
            end;
        false ->
            {error, {finish, prepared_shape}}
    end.

load_late([]) ->
    ok;
load_late([{Module, Path, Bin} | Rest]) ->
    %% Only where no old code is left can load_binary/3 kill nobody.
    case erlang:check_old_code(Module) andalso code:soft_purge(Module) of
        true -> load_late_one(Module, Path, Bin, Rest);
        false ->
            case erlang:check_old_code(Module) of
                true -> {error, {in_the_way, nzd_agent_who:in_old_code([Module]), []}};
                false -> load_late_one(Module, Path, Bin, Rest)
            end
    end.

load_late_one(Module, Path, Bin, Rest) ->
    case code:load_binary(Module, Path, Bin) of
        {module, Module} -> load_late(Rest);
        {error, Why} -> {error, {on_load, Module, Why}}
    end.

%% No module may have old code when new code is loaded over it. Old code
%% whose closures somebody holds is in the way too, unless the operator's word
%% is that what is in this module may end. {ok | {error, _}, State}.
make_room(Modules, Lambdas, State) ->
    Full = [M || M <- Modules, erlang:check_old_code(M)],
    Held = [
        Hold
     || {M, _, _} = Hold <- nzd_agent_who:swept([L || {M, _, _} = L <- Lambdas, lists:member(M, Full)]),
        not lists:member(<<"all">>, State#state.kill),
        not lists:member(atom_to_binary(M), State#state.kill)
    ],
    case Held of
        [] -> make_room_among(Full, State, 3);
        _ -> {{error, {in_the_way, [], nzd_agent_who:holders(Held)}}, State}
    end.

make_room_among(Full, State, Tries) ->
    case [M || M <- Full, erlang:check_old_code(M), not code:soft_purge(M)] of
        [] ->
            {ok, State};
        Blocked ->
            Who = nzd_agent_who:in_old_code(Blocked),
            Ended = kill(Who, State#state.kill),
            State1 = State#state{ended = lists:reverse(Ended, State#state.ended)},
            case Tries > 0 andalso (Ended =/= [] orelse Who =:= []) of
                true ->
                    %% Ended, or gone between the purge and the look.
                    make_room_among(Blocked, State1, Tries - 1);
                false ->
                    {{error, {in_the_way, Who, []}}, State1}
            end
    end.

-spec past_holders([module()], #state{}) -> [tuple()].
past_holders(Modules, State) ->
    nzd_agent_who:swept([
        L
     || {M, _, _} = L <- element(3, State#state.chores),
        lists:member(M, Modules),
        erlang:check_old_code(M)
    ]).

%% Ends those that the operator named, and gives them.
kill(Who, Kill) ->
    Ended = lists:ukeysort(1, [W || {_, _, M, _, _} = W <- Who, may_kill(W, M, Kill)]),
    _ = [end_process(P) || {P, _, _, _, _} <- Ended],
    Ended.

may_kill({Pid, Name, _, _, _}, Module, Kill) ->
    lists:member(<<"all">>, Kill) orelse
        lists:member(nzd_agent_text:text(pid_to_list(list_to_pid(binary_to_list(Pid)))), Kill) orelse
        (Name =/= <<>> andalso lists:member(Name, Kill)) orelse
        lists:member(atom_to_binary(Module), Kill).

end_process(PidText) ->
    Pid = list_to_pid(binary_to_list(PidText)),
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> ok
    after 2000 ->
        demonitor(Ref, [flush])
    end.

%% Old code back, all at one instant; what is old already is left alone, so
%% it can be repeated. Blocked: nothing was loaded, it can be tried again.
-spec undo(#state{}) -> {tuple(), #state{}}.
undo(#state{old = Old} = State) ->
    Begin = erlang:monotonic_time(),
    Back = [
        {M, E}
     || {M, {_, _, Md5, Attrs} = E} <- maps:to_list(Old),
        not runs(M, Md5, Attrs)
    ],
    case prepare_back(Back, State#state.old_prepared) of
        {error, _} = Error ->
            {Error, State};
        {Prepared, Late} ->
            %% Closures of the code to be loaded again are whole after it.
            case make_room([M || {M, _} <- Back], [], State) of
                {ok, Ready} -> undo_load(Prepared, Late, Begin, Ready);
                {Error, Blocked} -> {Error, Blocked#state{old_prepared = Prepared}}
            end
    end.

undo_load(Prepared, Late, Begin, State) ->
    case finish(Prepared) of
        ok ->
            case load_late(Late) of
                ok ->
                    Took = nzd_agent_text:since(Begin),
                    {Left, Dropped} = drop_new(State),
                    {{ok, Took, Left}, Dropped#state{
                        phase = undone,
                        old_prepared = [],
                        new = []
                    }};
                Error ->
                    {Error, State#state{old_prepared = []}}
            end;
        Error ->
            {Error, State#state{old_prepared = Prepared}}
    end.

prepare_back(Back, Have) ->
    prepare_back(Back, Have, [], []).

prepare_back([], _Have, Prepared, Late) ->
    {Prepared, Late};
prepare_back([{M, {Path, Bin, _, _}} | Rest], Have, Prepared, Late) ->
    case lists:keyfind(M, 1, Have) of
        {M, _} = Entry ->
            prepare_back(Rest, Have, [Entry | Prepared], Late);
        false ->
            case code:prepare_loading([{M, Path, Bin}]) of
                {ok, P} ->
                    prepare_back(Rest, Have, [{M, P} | Prepared], Late);
                {error, [{_, on_load_not_allowed}]} ->
                    prepare_back(Rest, Have, Prepared, [{M, Path, Bin} | Late]);
                {error, Why} ->
                    {error, {prepare, Why}}
            end
    end.

-spec runs(module(), binary(), [tuple()]) -> boolean().
runs(M, Md5, Attrs) ->
    erlang:module_loaded(M) andalso
        M:module_info(md5) =:= Md5 andalso
        lists:sort(M:module_info(attributes)) =:= lists:sort(Attrs).

%% The undone code goes softly, and then the modules it had added; what
%% is still held after half a second goes later, and is named.
drop_new(#state{added = Added, chores = {Stale, Gone, Past}} = State0) ->
    State = stop_purger(State0),
    Changed = maps:keys(State#state.old),
    Chores = {
        lists:usort(Changed ++ Stale),
        lists:usort(Added ++ Gone),
        replaced(Changed, State#state.new_lambdas, Past)
    },
    Left = purged_within(500, start_purger(State#state{chores = Chores})),
    {_, Stay, _} = Left#state.chores,
    {[M || M <- Stay, lists:member(M, Added)], Left}.

-spec purged_within(integer(), #state{}) -> #state{}.
purged_within(Time, State) ->
    purged_by(erlang:monotonic_time(millisecond) + Time, State).

purged_by(_Deadline, #state{purger = none} = State) ->
    State;
purged_by(Deadline, #state{purger = Purger} = State) ->
    receive
        {chores, Purger, Chores} -> purged_by(Deadline, did(Chores, State))
    after max(0, Deadline - erlang:monotonic_time(millisecond)) -> State
    end.

%% What the purger says is left.
-spec did(tuple(), #state{}) -> #state{}.
did({[], [], _}, State) -> State#state{chores = {[], [], []}, purger = none};
did(Chores, State) -> State#state{chores = Chores}.

delete(M) ->
    case erlang:module_loaded(M) of
        false ->
            true;
        true ->
            nobody_needs(M) andalso
                (not erlang:check_old_code(M) orelse code:soft_purge(M)) andalso
                code:delete(M) andalso
                (code:soft_purge(M) orelse true)
    end.

%% A server whose callbacks are in the module has no frame in it while it
%% waits; its next message would be its end.
nobody_needs(M) ->
    nzd_agent_who:users([M]) =:= [] andalso
        not lists:any(
            fun(P) -> P =/= self() andalso nzd_agent_who:inside(P, [M], #{M => true}) =/= none end,
            processes()
        ).

%% A module has one old version: of those that changed, the one just replaced.
-spec replaced([module()], [tuple()], [tuple()]) -> [tuple()].
replaced(Modules, Lambdas, Past) ->
    [L || {M, _, _} = L <- Past, not lists:member(M, Modules)] ++ Lambdas.

-spec start_purger(#state{}) -> #state{}.
start_purger(#state{chores = {[], [], _}} = State) ->
    State#state{chores = {[], [], []}, purger = none};
start_purger(#state{chores = Chores} = State) ->
    Purger = spawn_opt(?MODULE, purge_init, [Chores], [{priority, low}]),
    State#state{purger = Purger}.

%% What it has not done yet stays in `chores`.
-spec stop_purger(#state{}) -> #state{}.
stop_purger(#state{purger = none} = State) ->
    State;
stop_purger(#state{purger = Pid} = State) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> last_chores(Pid, State#state{purger = none})
    end.

last_chores(Pid, State) ->
    receive
        {chores, Pid, Chores} -> last_chores(Pid, State#state{chores = Chores})
    after 0 -> State
    end.

%% Old code goes softly, never under a held closure; then what was removed.
-spec purge_init(tuple()) -> ok.
purge_init({Changed, Removed, Lambdas}) ->
    purge_loop(Changed, Removed, Lambdas, 50, 1).

purge_loop(Changed, Removed, Lambdas, Wait, Round) ->
    {Left, Stay} = purge_round(Changed, Removed, Lambdas),
    _ = [
        catch ?SERVER ! {chores, self(), {Left, Stay, Lambdas}}
     || Round =:= 1 orelse {Left, Stay} =/= {Changed, Removed}
    ],
    case {Left, Stay} of
        {[], []} ->
            ok;
        _ ->
            _ = [nzd_agent_who:sweep() || Round =:= 4 orelse Round =:= 8 orelse Round rem 16 =:= 0],
            timer:sleep(Wait),
            purge_loop(Left, Stay, Lambdas, min(Wait * 2, 10000), Round + 1)
    end.

%% What is left of both after one try.
purge_round(Changed, Removed, Lambdas) ->
    Held = [M || {M, _, _} <- nzd_agent_who:closures(Lambdas)],
    Left = [
        M
     || M <- Changed,
        erlang:check_old_code(M),
        lists:member(M, Held) orelse not code:soft_purge(M)
    ],
    Stay = [
        M
     || M <- Removed,
        Left =/= [] orelse lists:member(M, Held) orelse not delete(M)
    ],
    {Left, Stay}.
