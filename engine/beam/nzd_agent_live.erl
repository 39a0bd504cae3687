%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: what a switch changes besides code. In this order:
%%
%%   applications that start anew are stopped
%%   the environment of applications
%%   the code path, to the new files of priv
%%   code
%%   they start
%%   added applications are started, removed ones stopped and unloaded
%%   config_change/3 of those that run
%%
%% and an undo: added ones and those that start anew stop, old code, the
%% environment, the code path, config_change/3 with the reverse, they and
%% removed ones start again. Each step of it looks at what
%% there is, so that it can be repeated, by this agent or by another one that
%% was given what nzd has kept in the journal.
-module(nzd_agent_live).

-include("nzd_agent.hrl").

-export([kept/2, lay/2, look/1, prepare/2, settled/1, switch/1, undo/1]).
-export_type([live/0]).

%% Milliseconds for one config_change/3; and what nzd is told to wait for both
%% sides' runtime.exs, and for each application.
-define(TELL, 5000).
-define(EVALUATE, 25000).
-define(EACH, 2 * 15000).

-type live() :: #{
    env := [nzd_agent_env:change()],
    %% The code path that was, and what each folder of the base gives way to;
    %% none: it stays.
    path := none | [string()],
    folders := [{string(), string()}],
    start := [nzd_agent_apps:added()],
    stop := [nzd_agent_apps:removed()],
    again => [nzd_agent_apps:removed()]
}.

%% {live, Old, New, Envs, Start, Stop, Again, Files}; {live, Kept, Names, Held}:
%% what an undo needs, whose environment changes, and which keys no file could
%% hold.
-spec prepare(tuple(), #state{}) -> {term(), #state{}}.
prepare({live, Old, New, Envs, Start, Stop, Again, Files}, State) ->
    nzd_agent:wait(?EVALUATE, State),
    case Start ++ Stop ++ Again =:= [] orelse nzd_agent_apps:can_settle() of
        true ->
            prepare(nzd_agent_env:changes(Old, New, Envs), Start, Stop, Again, path(Files), State);
        false ->
            Why = <<"this OTP keeps start types in a form that is not known: --min restart-vm --max restart-vm">>,
            {{error, {live, Why}}, State}
    end.

prepare(Found, Start0, Stop, Again, Path, State) ->
    %% What somebody has started by hand is not ours to stop.
    Running = nzd_agent_read:running(),
    Start = [A || {{application, App, _}, _} = A <- Start0, not lists:member(App, Running)],
    case Found of
        {ok, Changes} ->
            Live = #{
                env => Changes,
                path => Path,
                folders => [],
                start => Start,
                stop => nzd_agent_apps:look(Stop),
                again => running(Again)
            },
            Names = [nzd_agent_text:text(io_lib:format("~p ~tp", [A, K])) || {A, K, _, _, _} <- Changes],
            Kept = term_to_binary(Live, [compressed]),
            Expecting = expecting(State#state{live = Live}, Stop, Stop ++ Again),
            {{live, Kept, Names, nzd_agent_env:held(Changes)}, Expecting};
        {error, Why} ->
            {{error, {live, Why}}, State}
    end.

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
    [A || {_, Type, _} = A <- nzd_agent_apps:look(Apps), Type =/= none].

again(Live) ->
    maps:get(again, Live, []).

is_of(Pid, Apps) when is_pid(Pid) ->
    case application:get_application(Pid) of
        {ok, App} -> lists:member(App, Apps);
        undefined -> false
    end;
is_of(_, _) ->
    false.

-spec kept(binary(), #state{}) -> #state{}.
kept(Kept, State) ->
    State#state{live = maps:merge(#{path => none, folders => []}, binary_to_term(Kept))}.

-spec lay([{string(), string()}], #state{}) -> #state{}.
lay(Folders, #state{live = Live} = State) ->
    State#state{live = Live#{folders := Folders}}.

%% What there is at the last moment, for the undo.
-spec look(#state{}) -> #state{}.
look(#state{live = none} = State) ->
    State;
look(#state{live = #{env := Changes, path := Path, stop := Stop} = Live} = State) ->
    Again = [App || {{application, App, _}, _, _} <- again(Live)],
    State#state{
        live = Live#{
            env := nzd_agent_env:look(Changes),
            path := path(Path =/= none),
            stop := nzd_agent_apps:look([App || {{application, App, _}, _, _} <- Stop]),
            again => running(Again)
        }
    }.

%% --- forward ---------------------------------------------------------------

-spec switch(#state{}) -> {tuple(), #state{}}.
switch(#state{live = none} = State) ->
    nzd_agent_switch:switch(State);
switch(#state{live = Live} = State) ->
    wait(State),
    case put_before_code(Live) of
        ok -> code_too(nzd_agent_switch:switch(State), Live);
        {error, Why} -> undone(Why, State)
    end.

put_before_code(#{env := Changes, folders := Folders} = Live) ->
    first([
        fun() -> nzd_agent_apps:pause(again(Live)) end,
        fun() -> nzd_agent_env:put(Changes) end,
        fun() -> nzd_agent_paths:lead_to(Folders) end
    ]).

code_too({{ok, _, _} = Ok, Done}, Live) ->
    case forward(Live) of
        ok -> {Ok, Done};
        {error, Why} -> undone(Why, Done)
    end;
%% Old code runs, and what the undo needs was forgotten with the new one.
code_too({Error, #state{phase = undone} = Done}, Live) ->
    {_, Back} = back({ok, 0, []}, Done#state{live = Live}),
    {Error, Back};
%% It could not come back.
code_too({Error, Blocked}, Live) ->
    _ = nzd_agent_apps:start([], again(Live)),
    {Error, Blocked}.

%% It may take so long, at most.
wait(#state{live = #{env := Changes, start := Start, stop := Stop} = Live} = State) ->
    Apps = length(lists:usort([A || {A, _, _, _, _} <- Changes])),
    nzd_agent:wait(5000 + ?TELL * Apps + ?EACH * length(Start ++ Stop ++ again(Live)), State).

undone(Why, State) ->
    {_, Undone} = undo(State),
    {{error, {live, Why}}, Undone}.

forward(#{env := Changes, start := Start, stop := Stop} = Live) ->
    first([
        fun() -> nzd_agent_apps:start(Start, again(Live)) end,
        fun() -> nzd_agent_apps:stop([App || {{application, App, _}, _, _} <- Stop]) end,
        fun() -> nzd_agent_env:tell(really(Changes), ?TELL) end
    ]).

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

%% It is there to stay.
-spec settled(#state{}) -> #state{}.
settled(#state{live = none} = State) ->
    State;
settled(#state{live = #{start := Start} = Live} = State) ->
    ok = nzd_agent_apps:settle(Start ++ [{Spec, Type} || {Spec, Type, _} <- again(Live)]),
    State.

%% --- back ------------------------------------------------------------------

-spec undo(#state{}) -> {tuple(), #state{}}.
undo(#state{live = none} = State) ->
    nzd_agent_switch:undo(State);
undo(#state{live = #{start := Start} = Live} = State) ->
    wait(State),
    Added = lists:reverse([App || {{application, App, _}, _} <- Start]),
    case first([fun() -> nzd_agent_apps:stop(Added) end, fun() -> nzd_agent_apps:pause(again(Live)) end]) of
        ok -> behind_code(nzd_agent_switch:undo(State), Live);
        {error, Why} -> {{error, {live, Why}}, State}
    end.

behind_code({{ok, _, _} = Ok, Undone}, _Live) ->
    back(Ok, Undone);
%% The new code serves on.
behind_code(Blocked, Live) ->
    _ = nzd_agent_apps:start([], again(Live)),
    Blocked.

%% What fails here is tried again, code or not.
back(Ok, #state{live = #{env := Changes, path := Path, stop := Stop} = Live} = State) ->
    Back = nzd_agent_env:changed(nzd_agent_env:reversed(Changes)),
    case put_back(Back, Path) of
        ok ->
            %% Who does not take the old values back has them all the same.
            _ = nzd_agent_env:tell(Back, ?TELL),
            started_again(Ok, nzd_agent_apps:start_again(again(Live) ++ lists:reverse(Stop)), State);
        {error, Why} ->
            {{error, {live, Why}}, State#state{phase = switched}}
    end.

put_back(Back, Path) ->
    first([
        fun() -> nzd_agent_env:put(Back) end,
        fun() -> nzd_agent_paths:back_to(Path) end
    ]).

started_again(Ok, ok, State) ->
    {Ok, State};
started_again(_Ok, {error, Why}, State) ->
    {{error, {live, Why}}, State#state{phase = switched}}.
