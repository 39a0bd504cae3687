%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: what a switch changes besides code. In this order:
%%
%%   applications that start anew are stopped, and take their new keys
%%   added applications are loaded
%%   the environment of applications
%%   the code path, to the new files of priv
%%   code
%%   added applications are started, and those that start anew
%%   children of supervisors
%%   removed applications are stopped and unloaded
%%   config_change/3 of those that run
%%
%% and an undo: those that start anew stop; old code; the environment, the code
%% path, config_change/3 with the reverse; they and removed ones start again;
%% children of supervisors; added ones stop and are unloaded. Each step of it
%% looks at what there is, so that it can be repeated, by this agent or by
%% another one that was given what nzd has kept in the journal.
-module(nzd_agent_live).

-include("nzd_agent.hrl").

-export([behind_children/2, before_children/2, kept/2, lay/2, look/1, prepare/2]).
-export([settled/1, switch/1, undo/1]).
-export_type([live/0]).

%% Milliseconds for one config_change/3; and what nzd is told to wait for both
%% sides' runtime.exs, and for each application.
-define(TELL, 5000).
-define(EVALUATE, 25000).
-define(EACH, 2 * 15000).
%% The same for application_controller.
-define(SETTLE, 2 * 5000).

-type live() :: #{
    env := [nzd_agent_env:change()],
    %% The code path that was, and what each folder of the base gives way to;
    %% none: it stays.
    path := none | [string()],
    folders := [{string(), string()}],
    start := [nzd_agent_apps:added()],
    %% Of them, those that were loaded before.
    had := [nzd_agent_apps:removed()],
    stop := [nzd_agent_apps:removed()],
    %% Of them, those that stay loaded.
    stay := [atom()],
    again := [nzd_agent_apps:removed()],
    %% The specifications that they start with.
    anew := [tuple()],
    %% Start types: what it is and what it is to be.
    types := [{atom(), atom(), atom()}]
}.

%% {live, Old, New, Envs, {Start, Stop, Again, Types}, Files}:
%%   Start  [{Spec, Type}], what is loaded and, unless Type is none, started
%%   Stop   [{App, Stays}], what is stopped and, unless it stays, unloaded
%%   Again  [Spec | App], what starts anew, with the specification it then has
%%   Types  [{App, Type}]
%% {live, Kept, Names, Held}: what an undo needs, whose environment changes, and
%% which keys no file could hold.
-spec prepare(tuple(), #state{}) -> {term(), #state{}}.
prepare({live, Old, New, Envs, {Start, Stop, Again, Types} = Apps, Files}, State) ->
    nzd_agent:wait(?EVALUATE, State),
    case Start =:= [] andalso Stop ++ Again ++ Types =:= [] orelse nzd_agent_apps:can_settle() of
        true ->
            prepare(nzd_agent_env:changes(Old, New, Envs), Apps, path(Files), State);
        false ->
            Why = <<"this OTP keeps start types in a form that is not known: --min restart-vm --max restart-vm">>,
            {{error, {live, Why}}, State}
    end.

prepare({ok, Changes}, {Start0, Stop, Again, Types}, Path, State) ->
    %% What somebody has started by hand is not ours to stop.
    Running = nzd_agent_read:running(),
    Start = [A || {{application, App, _}, _} = A <- Start0, not lists:member(App, Running)],
    Stopped = nzd_agent_apps:look([App || {App, _} <- Stop]),
    Paused = running(nzd_agent_apps:look(names(Again))),
    Live = #{
        env => Changes,
        path => Path,
        folders => [],
        start => Start,
        had => nzd_agent_apps:look(names(Start)),
        stop => Stopped,
        stay => [App || {App, true} <- Stop],
        again => Paused,
        anew => [Spec || {application, App, _} = Spec <- Again, lists:member(App, names(Paused))],
        types => types(Types)
    },
    Names = [nzd_agent_text:text(io_lib:format("~p ~tp", [A, K])) || {A, K, _, _, _} <- Changes],
    Kept = term_to_binary(Live, [compressed]),
    Expecting = expecting(State#state{live = Live}, names(Stopped), names(Stopped ++ Again)),
    {{live, Kept, Names, nzd_agent_env:held(Changes)}, Expecting};
prepare({error, Why}, _Apps, _Path, State) ->
    {{error, {live, Why}}, State}.

names(Apps) ->
    [name(A) || A <- Apps].

name(App) when is_atom(App) -> App;
name({application, App, _}) -> App;
name(App) -> name(element(1, App)).

%% Of those that run, which are not yet what they are to be.
types(Types) ->
    [
        {App, From, To}
     || {App, From} <- nzd_agent_apps:started([App || {App, _} <- Types]),
        {_, To} <- [lists:keyfind(App, 1, Types)],
        From =/= To
    ].

path(true) -> code:get_path();
path(false) -> none.

%% Which applications and names are to be there behind the switch.
expecting(#state{live = #{start := Start}} = State, Stop, Ended) ->
    Started = [App || {{application, App, _}, Type} <- Start, Type =/= none],
    State#state{
        apps = (State#state.apps -- Stop) ++ Started,
        names = [N || N <- State#state.names, not is_of(whereis(N), Ended)]
    }.

%% One that does not run is not to start.
running(Apps) ->
    [A || {_, Type, _} = A <- Apps, Type =/= none].

is_of(Pid, Apps) when is_pid(Pid) ->
    case application:get_application(Pid) of
        {ok, App} -> lists:member(App, Apps);
        undefined -> false
    end;
is_of(_, _) ->
    false.

-spec kept(binary(), #state{}) -> #state{}.
kept(Kept, State) ->
    State#state{live = binary_to_term(Kept)}.

-spec lay([{string(), string()}], #state{}) -> #state{}.
lay(Folders, #state{live = Live} = State) ->
    State#state{live = Live#{folders := Folders}}.

%% What there is at the last moment, for the undo.
-spec look(#state{}) -> #state{}.
look(#state{live = none} = State) ->
    State;
look(#state{live = Live} = State) ->
    #{env := Changes, path := Path, start := Start, stop := Stop, again := Again} = Live,
    State#state{
        live = Live#{
            env := nzd_agent_env:look(Changes),
            path := path(Path =/= none),
            had := nzd_agent_apps:look(names(Start)),
            stop := nzd_agent_apps:look(names(Stop)),
            again := running(nzd_agent_apps:look(names(Again)))
        }
    }.

%% --- forward ---------------------------------------------------------------

-spec switch(#state{}) -> {tuple(), #state{}}.
switch(#state{live = none} = State) ->
    nzd_agent_switch:switch(State);
switch(#state{live = Live} = State) ->
    wait(State),
    case put_before_code(Live) of
        ok -> switched(nzd_agent_switch:switch(State), Live);
        {error, Why} -> undone(Why, State)
    end.

put_before_code(#{env := Changes, folders := Folders} = Live) ->
    #{start := Start, had := Had, again := Again, anew := Anew} = Live,
    first([
        fun() -> nzd_agent_apps:pause(Again) end,
        fun() -> nzd_agent_apps:take(Anew ++ [Spec || {Spec, _} <- Start, lists:member(name(Spec), names(Had))]) end,
        fun() -> nzd_agent_apps:load(Start) end,
        fun() -> nzd_agent_env:put(Changes) end,
        fun() -> nzd_agent_paths:lead_to(Folders) end
    ]).

switched({{ok, _, _}, _} = Done, _Live) ->
    Done;
%% Old code runs, and what the undo needs was forgotten with the new one.
switched({Error, #state{phase = undone} = Done}, Live) ->
    {Error, back(Done#state{live = Live})};
%% It could not come back.
switched({Error, Blocked}, #{again := Again}) ->
    _ = nzd_agent_apps:start([], Again),
    {Error, Blocked}.

%% Each part of it may take so long, at most.
wait(#state{live = #{env := Changes, start := Start, stop := Stop, again := Again}} = State) ->
    Apps = length(lists:usort([A || {A, _, _, _, _} <- Changes])),
    nzd_agent:wait(5000 + ?TELL * Apps + ?EACH * length(Start) + ?EACH * length(Stop ++ Again), State).

undone(Why, State) ->
    {_, Undone} = undo(State),
    {{error, {live, Why}}, Undone}.

%% Around the children of supervisors: these start with what they need, and stop
%% before what they needed goes.
-spec before_children(forward | back, #state{}) -> ok | {error, binary()}.
before_children(_, #state{live = none}) ->
    ok;
before_children(forward, #state{live = #{start := Start, again := Again}} = State) ->
    wait(State),
    nzd_agent_apps:start(Start, Again);
before_children(back, #state{live = #{env := Changes, path := Path} = Live} = State) ->
    wait(State),
    #{had := Had, stop := Stop, again := Again} = Live,
    Back = nzd_agent_env:changed(nzd_agent_env:reversed(Changes)),
    first([
        fun() -> nzd_agent_env:put(Back) end,
        fun() -> nzd_agent_paths:back_to(Path) end,
        %% Who does not take the old values back has them all the same.
        fun() -> _ = tell(Back, Live), ok end,
        fun() -> nzd_agent_apps:take([Spec || {Spec, _, _} <- Again ++ Had]) end,
        fun() -> nzd_agent_apps:start_again(Again ++ lists:reverse(Stop)) end
    ]).

-spec behind_children(forward | back, #state{}) -> ok | {error, binary()}.
behind_children(_, #state{live = none}) ->
    ok;
behind_children(forward, #state{live = #{env := Changes, stop := Stop, stay := Stay} = Live} = State) ->
    wait(State),
    first([
        fun() -> nzd_agent_apps:stop(names(Stop)) end,
        fun() -> nzd_agent_apps:unload(names(Stop) -- Stay) end,
        fun() -> tell(really(Changes), Live) end
    ]);
behind_children(back, #state{live = #{start := Start, had := Had}} = State) ->
    wait(State),
    first([
        fun() -> nzd_agent_apps:stop(lists:reverse([App || {{application, App, _}, Type} <- Start, Type =/= none])) end,
        fun() -> nzd_agent_apps:unload(lists:reverse(names(Start) -- names(Had))) end
    ]).

%% Who starts with the values is not told of them.
tell(Changes, #{start := Start, again := Again}) ->
    Starting = names(Start) ++ names(Again),
    nzd_agent_env:tell([C || C <- Changes, not lists:member(element(1, C), Starting)], ?TELL).

%% Up to the first that fails.
first([]) ->
    ok;
first([Act | Acts]) ->
    case Act() of
        ok -> first(Acts);
        {error, _} = Error -> Error
    end.

%% One that was set to the new value already has not changed.
really(Changes) ->
    [Change || {_, _, Old, New, _} = Change <- Changes, Old =/= New].

%% It is there to stay. Done once for a transaction: whoever starts one of them
%% anew behind it, by hand, says himself how.
-spec settled(#state{}) -> ok | {error, binary()}.
settled(#state{live = none}) ->
    ok;
settled(#state{live = #{start := Start, again := Again, types := Types}, txn = Txn} = State) ->
    Started = [{name(Spec), temporary, Type} || {Spec, Type} <- Start],
    Anew = [{name(Spec), temporary, Type} || {Spec, Type, _} <- Again],
    case persistent_term:get(?SETTLED, 0) of
        Txn ->
            ok;
        _ ->
            nzd_agent:wait(?SETTLE, State),
            Said = nzd_agent_apps:settle(Started ++ Anew ++ Types),
            ok = persistent_term:put(?SETTLED, Txn),
            Said
    end.

%% --- back ------------------------------------------------------------------

-spec undo(#state{}) -> {tuple(), #state{}}.
undo(#state{live = none} = State) ->
    nzd_agent_switch:undo(State);
undo(#state{live = #{again := Again}} = State) ->
    wait(State),
    case nzd_agent_apps:pause(not_back(Again)) of
        ok -> behind_code(nzd_agent_switch:undo(State), Again);
        {error, Why} -> {{error, {live, Why}}, State}
    end.

%% One that has its own start type was not stopped, or runs again; where that is
%% the one that we start them with it stops once more.
not_back(Again) ->
    Types = nzd_agent_apps:started(names(Again)),
    [A || {_, Type, _} = A <- Again, Type =:= temporary orelse not lists:member({name(A), Type}, Types)].

behind_code({{ok, _, _}, _} = Done, _Again) ->
    Done;
%% The code is back; what is not is tried again.
behind_code({{error, {live, _}}, _} = Failed, _Again) ->
    Failed;
%% The new code serves on.
behind_code(Blocked, Again) ->
    _ = nzd_agent_apps:start([], Again),
    Blocked.

back(State) ->
    Around = [fun() -> before_children(back, State) end, fun() -> behind_children(back, State) end],
    case first(Around) of
        ok -> State;
        {error, _} -> State#state{phase = switched}
    end.
