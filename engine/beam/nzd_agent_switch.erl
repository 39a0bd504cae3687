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
    start_preparer/1,
    start_purger/1,
    stop_preparer/1,
    stop_purger/1,
    switch/1,
    undo/1
]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([prepare_init/2, purge_init/1]).

%% Milliseconds for those that an agent has left, one behind the other: to be
%% suspended, to have their callback mode, to go on.
-define(LEFT, 6000).

-spec switch(#state{}) -> {tuple(), #state{}}.
switch(#state{new = New, late = Late} = State) ->
    Modules = [M || {M, _} <- New] ++ [M || {M, _, _} <- Late],
    case make_room(Modules, element(3, State#state.chores), State) of
        {ok, Ready} -> suspended(suspend(Ready), Ready);
        {{error, _} = Error, Blocked} -> {Error, nothing_loaded(Blocked)}
    end.

suspend(#state{migrate = {_, _, Modules}}) when map_size(Modules) =:= 0 ->
    nzd_agent_state:suspend(Modules, 1);
suspend(#state{migrate = {_, Limit, Modules}} = State) ->
    %% To suspend, to ask for the children twice, to change before and behind the
    %% load and again where a callback mode is another.
    nzd_agent:wait(6 * Limit, State),
    nzd_agent_state:suspend(Modules, Limit).

suspended({error, _} = Error, State) ->
    {Error, nothing_loaded(State)};
suspended({ok, Held}, #state{new = New} = State) ->
    Children = children(Held, State),
    case change_before(Held, first, State) of
        {ok, Held1, _} ->
            Begin = erlang:monotonic_time(),
            Loaded = finish(New),
            Pause = nzd_agent_text:since(Begin),
            loaded(Loaded, {Pause, Children}, Held1, State#state{new = []});
        {error, Why, Held1} ->
            {{error, Why}, as_it_was(Held1, State)}
    end.

%% Before: how long the load took, and the children that there were.
loaded(ok, Before, Held, #state{late = Late} = State) ->
    case load_late(lists:reverse(Late)) of
        ok -> migrate(nzd_agent_state:newcomers(Held), Before, Held, State);
        {error, _} = Error -> back(Error, Held, State)
    end;
loaded({error, _} = Error, _Before, Held, State) ->
    {Error, as_it_was(Held, State)}.

migrate({error, _} = Error, _Before, Held, State) ->
    back(Error, Held, State);
migrate(ok, {Pause, Children}, Held, State) ->
    case change_behind(Held, first, State) of
        {ok, Held1, _} ->
            Now = children(Held1, State),
            Moved = nzd_agent_state:resume(Held1),
            served(Pause, {Children, Now}, State#state{moved = Moved});
        {error, Why, Held1} ->
            back({error, Why}, Held1, State)
    end.

served(Pause, {Children, Now}, State) ->
    Named = [N || N <- State#state.names, whereis(N) =/= undefined],
    case nzd_agent_live:before_children(forward, State) of
        ok -> settled(settle(Children, Now, first, State), Pause, Named, State);
        {error, Why} -> taken_back({error, {live, Why}}, State)
    end.

children(Held, #state{migrate = {_, Limit, _}}) ->
    nzd_agent_children:ids(nzd_agent_state:supervisors(Held), Limit).

settle(From, To, _Until, _State) when From =:= To ->
    {ok, []};
settle(From, To, Until, #state{migrate = {_, Limit, _}} = State) ->
    nzd_agent:wait(Limit, State),
    nzd_agent_children:settle(From, To, Until, Limit).

%% What went with a child that was stopped is not missed.
settled({ok, Rows}, Pause, Named, #state{moved = Moved, names = Names} = State) ->
    Gone = [
        N
     || lists:keymember(stopped, 1, Rows), N <- Named, whereis(N) =:= undefined
    ],
    Settled = State#state{moved = Moved#{children => Rows}, names = Names -- Gone},
    case nzd_agent_live:behind_children(forward, Settled) of
        ok -> {{ok, Pause, nzd_agent_who:seen_in_old_code(maps:keys(State#state.old))}, Settled};
        {error, Why} -> taken_back({error, {live, Why}}, Settled)
    end;
settled({Error, _Rows}, _Pause, _Named, State) ->
    taken_back(Error, State).

taken_back(Error, State) ->
    {_, Undone} = nzd_agent_live:undo(State),
    {Error, Undone}.

%% Nothing was loaded: who has changed its state gets the one it had.
as_it_was(Held, State) ->
    (nothing_loaded(State))#state{moved = nzd_agent_state:put_back(Held, from_lower(turned(State)))}.

%% Code first, then states. Where the code cannot come back the new states stay
%% with the new code.
back(Error, Held, State) ->
    From = from_lower(turned(State)),
    case load_back(ready_back(State)) of
        {error, _, Blocked} ->
            {Error, Blocked#state{moved = nzd_agent_state:resume(Held)}};
        {Answer, Back} ->
            Moved = nzd_agent_state:put_back(Held, From),
            {_, Undone} = undone(Answer, 0, Back#state{moved = Moved}),
            {Error, Undone}
    end.

nothing_loaded(#state{ended = Ended} = State) ->
    (nzd_agent_act:reset(State))#state{phase = undone, ended = Ended}.

%% A callback module converts its states itself: on the way up the new code does,
%% on the way down the code that is about to go, as release_handler has it. A
%% supervisor takes what init/1 of the code to come says, either way.
change_before(Held, _Until, #state{migrate = {up, _, _}}) ->
    {ok, Held, []};
change_before(Held, Until, #state{migrate = {down, Limit, _}} = State) ->
    Vsn = fun(M) -> {{down, vsn_of(M, State)}, extra_of(M, State)} end,
    nzd_agent_change:change(Held, [server, statem, event, special], Vsn, {Until, Limit}).

change_behind(Held, Until, #state{migrate = {_, Limit, _}} = State) ->
    case changed_behind(Held, Until, State) of
        {ok, Held1, Failed} ->
            case nzd_agent_change:refresh(Held1, Limit, from_lower(State)) of
                {Held2, [Why | _]} when Until =:= first -> {error, Why, Held2};
                {Held2, More} -> {ok, Held2, Failed ++ More}
            end;
        {error, _, _} = Error ->
            Error
    end.

changed_behind(Held, Until, #state{migrate = {up, Limit, _}} = State) ->
    Kinds = [server, statem, event, special, supervisor],
    nzd_agent_change:change(Held, Kinds, from_lower(State), {Until, Limit});
changed_behind(Held, Until, #state{migrate = {down, Limit, _}} = State) ->
    Vsn = fun(M) -> {{down, vsn_of(M, State)}, extra_of(M, State)} end,
    nzd_agent_change:change(Held, [supervisor], Vsn, {Until, Limit}).

%% What the higher version is told when it comes; the lower one is told nothing.
from_lower(#state{migrate = {up, _, _}} = State) ->
    fun(M) -> {vsn_of(M, State), extra_of(M, State)} end;
from_lower(#state{migrate = {down, _, _}}) ->
    fun(_M) -> none end.

%% Of the way it goes, of an undo too.
extra_of(M, #state{migrate = {Way, _, _}, extras = Extras}) ->
    case {Way, Extras} of
        {up, #{M := {Up, _}}} -> Up;
        {down, #{M := {_, Down}}} -> Down;
        _ -> []
    end.

%% Of the lower version, whichever way it goes.
vsn_of(M, #state{lower = old, old = Old}) ->
    case Old of
        #{M := {_, _, _, Attributes}} -> nzd_agent_text:vsn(Attributes);
        _ -> undefined
    end;
vsn_of(M, #state{lower = new, vsns = Vsns}) ->
    maps:get(M, Vsns, undefined).

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
%% it can be repeated. Blocked: nothing was loaded, it can be tried again. The
%% processes have run in the new code: their states go the other way, and who
%% cannot convert it keeps what it has.
-spec undo(#state{}) -> {tuple(), #state{}}.
undo(State) ->
    Begin = erlang:monotonic_time(),
    case ready_back(State) of
        {ok, [], [], Ready} -> undo_nothing(Begin, Ready);
        {ok, _, _, Ready} = Back -> undo_held(suspend(Ready), Begin, Back);
        {error, _, _} = Error -> blocked(Error)
    end.

blocked({error, Why, State}) ->
    {{error, Why}, State}.

%% An agent that is gone may have suspended some before it loaded anything, or
%% have ended in an undo behind its load: what it had still to do is done.
undo_nothing(Begin, #state{migrate = {_, _, Modules}} = State) ->
    _ = [nzd_agent:wait(?LEFT, State) || map_size(Modules) > 0],
    Held = nzd_agent_state:suspend_kept(Modules),
    Children = nzd_agent_children:kept(nzd_agent_state:supervisors(Held)),
    #state{migrate = {Way, _, _}, vsns = Vsns} = Turned = turned(State),
    {Left, Attributes} = nzd_agent_state:take_up(Held, Way),
    Gone = maps:map(fun(_, A) -> nzd_agent_text:vsn(A) end, Attributes),
    {ok, Behind, Failed} = change_behind(Left, all, Turned#state{vsns = maps:merge(Vsns, Gone)}),
    Now = maps:with(maps:keys(Children), children(Behind, State)),
    Moved = (nzd_agent_state:resume(Behind))#{put_back => true},
    {Besides, Rows} = besides(Children, Now, State),
    %% The agent that is gone may have finished what it had prepared.
    Done = State#state{old_prepared = [], moved = Moved#{failed => Failed, children => Rows}},
    unless(Besides, undone(ok, Begin, Done)).

undo_held({error, _} = Error, _Begin, {ok, Prepared, _, State}) ->
    {Error, State#state{old_prepared = Prepared}};
undo_held({ok, Held}, Begin, {ok, Prepared, Late, State}) ->
    Turned = turned(State),
    Children = children(Held, State),
    ok = nzd_agent_children:keep(Children),
    {ok, Before, Failed} = change_before(Held, all, Turned),
    case load_back({ok, Prepared, Late, State}) of
        {error, _, Blocked} = Error ->
            Moved = nzd_agent_state:put_back(Before, from_lower(State)),
            ok = nzd_agent_children:forget(Children),
            blocked(setelement(3, Error, Blocked#state{moved = Moved}));
        {Answer, Back} ->
            Kept = nzd_agent_state:put_back_kept(Before),
            {ok, Behind, More} = change_behind(Kept, all, Turned),
            Now = children(Behind, State),
            Moved = nzd_agent_state:resume(Behind),
            {Besides, Rows} = besides(Children, Now, Back),
            unless(
                Besides,
                undone(Answer, Begin, Back#state{
                    moved = Moved#{failed => Failed ++ More, children => Rows}
                })
            )
    end.

besides(From, To, State) ->
    Before = nzd_agent_live:before_children(back, State),
    {_, Rows} = settle(From, To, all, State),
    ok = nzd_agent_children:forget(From),
    case {Before, nzd_agent_live:behind_children(back, State)} of
        {ok, Behind} -> {Behind, Rows};
        {{error, _} = Error, _} -> {Error, Rows}
    end.

%% It is to be tried again, code or not.
unless({error, Why}, {{ok, _, _}, State}) ->
    {{error, {live, Why}}, State#state{phase = switched}};
unless(_, Done) ->
    Done.

%% Its code is the one that runs, before it goes.
turned(#state{migrate = {up, Limit, Modules}} = State) ->
    State#state{migrate = {down, Limit, Modules}};
turned(#state{migrate = {down, Limit, Modules}, vsns = Vsns} = State) ->
    Run = maps:map(
        fun(M, _) -> nzd_agent_text:vsn(nzd_agent_text:info(M, attributes)) end,
        Modules
    ),
    State#state{migrate = {up, Limit, Modules}, vsns = maps:merge(Run, Vsns)}.

%% Where nobody stands still until an undo is done, the old code is prepared
%% behind the switch, not before it: hooks and trials run meanwhile, and most
%% of the time nobody ever needs it.
-spec start_preparer(#state{}) -> #state{}.
start_preparer(#state{unprepared = []} = State) ->
    State;
start_preparer(#state{unprepared = Modules, old = Old} = State) ->
    Code = [{M, Path, Bin} || M <- Modules, #{M := {Path, Bin, _, _}} <- [Old]],
    Options = [link, {priority, low}],
    State#state{unprepared = [], preparer = spawn_opt(?MODULE, prepare_init, [self(), Code], Options)}.

-spec prepare_init(pid(), [tuple()]) -> ok.
prepare_init(_Server, []) ->
    ok;
prepare_init(Server, [{M, _, _} = Code | Rest]) ->
    _ = [Server ! {prepared, self(), {M, P}} || {ok, P} <- [code:prepare_loading([Code])]],
    prepare_init(Server, Rest).

%% What it has prepared until now is kept.
-spec stop_preparer(#state{}) -> #state{}.
stop_preparer(#state{preparer = none} = State) ->
    State;
stop_preparer(#state{preparer = Pid} = State) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> last_prepared(Pid, State#state{preparer = none})
    end.

last_prepared(Pid, #state{old_prepared = Prepared} = State) ->
    receive
        {prepared, Pid, Entry} -> last_prepared(Pid, State#state{old_prepared = [Entry | Prepared]})
    after 0 -> State
    end.

%% The code to go back to, prepared, and room for it.
ready_back(State) ->
    ready_back_with(stop_preparer(State)).

ready_back_with(#state{old = Old} = State) ->
    Back = [
        {M, E}
     || {M, {_, _, Md5, Attrs} = E} <- maps:to_list(Old),
        not runs(M, Md5, Attrs)
    ],
    case prepare_back(Back, State#state.old_prepared) of
        {error, Why} ->
            {error, Why, State};
        {Prepared, Late} ->
            %% Closures of the code to be loaded again are whole after it.
            case make_room([M || {M, _} <- Back], [], State) of
                {ok, Ready} -> {ok, Prepared, Late, Ready};
                {{error, Why}, Blocked} -> {error, Why, Blocked#state{old_prepared = Prepared}}
            end
    end.

%% An error of three: nothing was loaded. Behind the load one of `late` may fail.
load_back({ok, Prepared, Late, State}) ->
    case finish(Prepared) of
        ok -> {load_late(Late), State#state{old_prepared = [], new = []}};
        {error, Why} -> {error, Why, State#state{old_prepared = Prepared}}
    end;
load_back({error, _, _} = Error) ->
    Error.

undone({error, _} = Error, _Begin, State) ->
    {Error, State};
undone(ok, Begin, State) ->
    Took = nzd_agent_text:since(Begin),
    {Left, Dropped} = drop_new(State),
    {{ok, Took, Left}, Dropped#state{phase = undone}}.

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
            fun(P) -> P =/= self() andalso nzd_agent_who:inside(P, #{M => true}) =/= none end,
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
