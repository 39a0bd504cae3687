%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the acts of a transaction, one request each. What a request may do
%% in which phase stands in its clause; nzd_agent has fenced it.
-module(nzd_agent_act).

-include("nzd_agent.hrl").

-export([act/2, reset/1]).

-spec act(term(), #state{}) -> {term(), #state{}}.
%% The code to go back to. `Prepare`: compile it now, so an undo need not; or
%% `later`, while it is seen whether the new code stays.
act({old, Module, File, Bin, Prepare, Md5}, State) ->
    Name = atom_to_list(Module),
    case beam_lib:version(Bin) of
        {error, beam_lib, Why} ->
            {{error, {Module, nzd_agent_text:text(io_lib:format("~0p", [Why]))}}, State};
        {ok, {Module, _}} ->
            remember_old(Module, {path(File, Name), Bin, Md5}, Prepare, State);
        {ok, {Other, _}} ->
            {{error, {Module, {is_module, Other}}}, State}
    end;
%% New code, one module at a time: each compile is one short stall.
act({new, Module, File, Bin, false}, #state{new = New} = State) ->
    Path = path(File, atom_to_list(Module)),
    case code:prepare_loading([{Module, Path, Bin}]) of
        {ok, Prepared} ->
            Vsn = nzd_agent_text:vsn(nzd_agent_text:attributes(Bin)),
            {ok, State#state{
                new = [{Module, Prepared} | New],
                vsns = (State#state.vsns)#{Module => Vsn}
            }};
        {error, [{_, on_load_not_allowed}]} ->
            Late = [{Module, Path, Bin} | State#state.late],
            {on_load, State#state{late = Late}};
        {error, [{_, Why}]} ->
            {{error, {Module, Why}}, State}
    end;
act({new, Module, File, Bin, true}, #state{late = Late} = State) ->
    Path = path(File, atom_to_list(Module)),
    {ok, State#state{late = [{Module, Path, Bin} | Late]}};
act({sets, Added, Removed, OldFuns, NewFuns}, State) ->
    {ok, State#state{
        added = Added,
        removed = Removed,
        lambdas = OldFuns,
        new_lambdas = NewFuns
    }};
act({migrate, Way, Limit, Modules}, State) ->
    Lower =
        case Way of
            up -> old;
            down -> new
        end,
    {ok, State#state{migrate = {Way, Limit, maps:from_list(Modules)}, lower = Lower}};
act({extras, Extras}, State) ->
    {ok, State#state{extras = maps:from_list([{M, {Up, Down}} || {M, Up, Down} <- Extras])}};
%% What changes besides code; nothing is changed yet.
act({live, _, _, _, _, _} = Request, #state{phase = open} = State) ->
    nzd_agent_live:prepare(Request, State);
%% Where the files of priv lie that come into force with the code.
act({lay, Folders}, #state{phase = open, live = #{path := [_ | _]}} = State) ->
    {ok, nzd_agent_live:lay(folders(Folders), State)};
%% Behind a takeover, what the journal has kept of it.
act({kept, Bytes}, State) ->
    {ok, nzd_agent_live:kept(Bytes, State)};
act(switch, #state{phase = open} = State) ->
    %% Saved as switched before it is: an undo of nothing does nothing.
    Switching = nzd_agent_guard:save(nzd_agent_live:look(State#state{phase = switched})),
    case switch(Switching) of
        {{ok, _, _} = Ok, Done} -> {Ok, nzd_agent_guard:save(nzd_agent_switch:start_preparer(Done))};
        {Error, Undone} -> {Error, nzd_agent_guard:save(Undone)}
    end;
act(watch, State) ->
    {ok, State#state{watch = nzd_agent_probe:start()}};
act(unwatch, State) ->
    {ok, nzd_agent_alone:unwatched(State)};
act(readings, State) ->
    {Read, Watch} = nzd_agent_probe:readings(State#state.watch),
    {{readings, Read}, State#state{watch = Watch}};
act(validate, State) ->
    {validate(State, 2000), State};
%% Kept for so many milliseconds. Behind a takeover, from `idle`, what is left.
act({trial, Ms}, #state{phase = Phase} = State) when Phase =:= switched; Phase =:= idle ->
    Deadline = erlang:monotonic_time(millisecond) + Ms,
    Trial = nzd_agent_alone:start_timer(State#state{phase = trial, deadline = Deadline, begun = false}),
    {ok, nzd_agent_guard:save(Trial)};
act({trial, _Ms}, #state{phase = trial} = State) ->
    {ok, State};
%% Kept the same, of code that was booted. `Boot` is what init:restart/0 boots
%% from now on.
act({trial, Ms, Boot, Alone}, #state{phase = Phase} = State) when Phase =:= open; Phase =:= trial ->
    ok = nzd_agent_paths:remember_boot_file(),
    case nzd_agent_paths:restart_with(nzd_agent_text:native(Boot)) of
        ok ->
            Deadline = erlang:monotonic_time(millisecond) + Ms,
            Trial = (nzd_agent_alone:no_deadline(State))#state{phase = trial, deadline = Deadline, back = Alone},
            {ok, nzd_agent_guard:save(nzd_agent_alone:start_timer(Trial#state{begun = false}))};
        {error, _} = Error ->
            {Error, State}
    end;
act(begun, #state{phase = trial} = State) ->
    {ok, nzd_agent_guard:save(State#state{begun = true})};
act(confirm, #state{phase = trial} = State) ->
    case nzd_agent_alone:left(State) of
        0 -> {{error, {phase, expired}}, State};
        _ -> {ok, nzd_agent_guard:save((nzd_agent_alone:no_deadline(State))#state{phase = keeping})}
    end;
act(confirm, #state{phase = keeping} = State) ->
    {ok, State};
act(keep, #state{phase = switched} = State) ->
    {ok, nzd_agent_guard:save(State#state{phase = keeping})};
act(keep, #state{phase = keeping} = State) ->
    {ok, State};
act(done, #state{phase = keeping} = State) ->
    #state{old = Old, added = Added, removed = Removed} = State,
    {Stale, Gone, Past} = State#state.chores,
    Chores = {
        lists:usort(Stale ++ maps:keys(Old) ++ Added),
        lists:usort(((Gone -- maps:keys(Old)) -- Added) ++ Removed),
        nzd_agent_switch:replaced(maps:keys(Old), State#state.lambdas, Past)
    },
    Answer =
        case nzd_agent_live:settled(State) of
            ok -> ok;
            {error, Why} -> {unsettled, Why}
        end,
    %% In a quiet node it is all gone before nzd says that it is done.
    Purging = nzd_agent_switch:start_purger((reset(State))#state{chores = Chores}),
    {Answer, nzd_agent_guard:save(nzd_agent_switch:purged_within(300, Purging))};
%% Where a later load finds the code in force, and a restart its script.
act({paths, Folders, Boot}, State) ->
    {nzd_agent_paths:put_paths(folders(Folders), Boot), State};
%% What is to be booted is laid out. The answer goes out before it all ends.
act({restart, Boot}, State) ->
    ok = nzd_agent_paths:remember_boot_file(),
    case nzd_agent_paths:restart_with(nzd_agent_text:native(Boot)) of
        ok -> {init:restart(), State};
        {error, _} = Error -> {Error, State}
    end;
act({apps, Specs}, State) ->
    Left = [A || {application, A, _} = S <- Specs, not nzd_agent_paths:put_app(S, 3)],
    {{apps, [atom_to_binary(A) || A <- Left]}, State};
%% What an undo after a takeover lacks when the agent has forgotten.
act(resume_undo, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= trial; Phase =:= keeping; Phase =:= expired; Phase =:= undone
->
    {ok, nzd_agent_guard:save((nzd_agent_alone:no_deadline(State))#state{phase = switched})};
act(resume_undo, State) ->
    {ok, State};
%% The same before `done`: the commit stands, but nobody here knows it.
act(resume_keep, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= keeping
->
    {ok, nzd_agent_guard:save(State#state{phase = keeping})};
act(moved, #state{moved = Moved} = State) ->
    {{moved, Moved}, State#state{moved = none}};
act({allow_kill, Kill}, State) ->
    {ok, State#state{kill = Kill}};
act(ended, #state{ended = Ended} = State) ->
    {{ended, lists:reverse(Ended)}, State#state{ended = []}};
act(undo, #state{phase = switched} = State) ->
    {Answer, State1} = nzd_agent_live:undo(State),
    {Answer, nzd_agent_guard:save(State1)};
act(undo, #state{phase = undone} = State) ->
    {{ok, 0, []}, nzd_agent_switch:start_purger(nzd_agent_switch:stop_purger(State))};
%% Nothing was loaded: forget it.
act(forget, #state{phase = Phase} = State) when
    Phase =:= open; Phase =:= undone; Phase =:= idle
->
    {ok, nzd_agent_guard:save(nzd_agent_switch:start_purger(reset(nzd_agent_switch:stop_purger(State))))};
act(_Request, State) ->
    {{error, {phase, State#state.phase}}, State}.

%% Whatever happens, nobody stays suspended.
switch(State) ->
    try
        nzd_agent_live:switch(State)
    catch
        Class:Reason:Stack ->
            {_, Undone} = nzd_agent_live:undo(State#state{new = []}),
            {{error, {crash, nzd_agent_text:printed({Class, Reason, Stack})}}, Undone}
    end.

remember_old(Module, {Path, Bin, Md5}, Prepare, State) ->
    Entry = {Path, Bin, Md5, nzd_agent_text:attributes(Bin)},
    Old = (State#state.old)#{Module => Entry},
    Prepared =
        case Prepare =:= true andalso code:prepare_loading([{Module, Path, Bin}]) of
            {ok, P} -> [{Module, P}];
            _ -> []
        end,
    {ok, State#state{
        old = Old,
        old_prepared = Prepared ++ State#state.old_prepared,
        unprepared = [Module || Prepare =:= later] ++ State#state.unprepared
    }}.

folders(Folders) ->
    [{nzd_agent_text:native(B), nzd_agent_text:native(I)} || {B, I} <- Folders].

path(<<>>, Name) -> Name ++ ".beam";
path(File, _Name) -> unicode:characters_to_list(File).

validate(State, Left) ->
    Apps = State#state.apps -- nzd_agent_read:running(),
    Names = [N || N <- State#state.names, whereis(N) =:= undefined],
    case {Apps, Names} of
        {[], []} ->
            ok;
        _ when Left > 0, Apps =:= [] ->
            timer:sleep(50),
            validate(State, Left - 50);
        _ ->
            {missing, [atom_to_binary(A) || A <- Apps], [
                atom_to_binary(N)
             || N <- Names
            ]}
    end.

-spec reset(#state{}) -> #state{}.
reset(State0) ->
    State = nzd_agent_switch:stop_preparer(nzd_agent_alone:unwatched(nzd_agent_alone:no_deadline(State0))),
    State#state{
        phase = idle,
        begun = false,
        back = none,
        new = [],
        late = [],
        old = #{},
        old_prepared = [],
        unprepared = [],
        added = [],
        removed = [],
        lambdas = [],
        new_lambdas = [],
        live = none,
        kill = [],
        ended = [],
        migrate = {up, 5000, #{}},
        extras = #{},
        lower = old,
        vsns = #{},
        moved = none,
        recall = none
    }.
