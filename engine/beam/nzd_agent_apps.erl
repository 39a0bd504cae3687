%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: applications that are started and stopped in the switch. Each
%% act is bounded, done where it still is to be done only, and so can be
%% repeated.
%%
%% Each is started as temporary: what does not start, or ends while the
%% transaction is open, would take the VM along otherwise. Its own start type
%% is put in when it is there to stay.
-module(nzd_agent_apps).

-export([can_settle/0, limited/4, look/1, pause/1, settle/1, start/2, start_again/1, stop/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([call/4]).
-export_type([added/0, removed/0]).

%% Milliseconds for one application.
-define(LIMIT, 15000).

%% {application, Name, Keys}, and how it is started; `none` is only loaded.
-type added() :: {tuple(), permanent | transient | temporary | none}.
%% The same of what ran, and its environment.
-type removed() :: {tuple(), permanent | transient | temporary | none, [{atom(), term()}]}.

%% What these are, to have them again; those that are not loaded are not in it.
-spec look([atom()]) -> [removed()].
look(Apps) ->
    Started = proplists:get_value(started, application:info(), []),
    [
        {{application, App, Keys}, proplists:get_value(App, Started, none), application:get_all_env(App)}
     || App <- Apps, {ok, Keys} <- [application:get_all_key(App)]
    ].

%% All are loaded before the first is started. The others were paused.
-spec start([added()], [removed()]) -> ok | {error, binary()}.
start(Added, Paused) ->
    Starting = [{Spec, Type, []} || {Spec, Type} <- Added, Type =/= none],
    each([{load, Spec} || {Spec, _} <- Added] ++
        [{start, App} || {{application, App, _}, _, _} <- ordered(Starting ++ Paused)]).

-spec stop([atom()]) -> ok | {error, binary()}.
stop(Apps) ->
    each([{stop, App} || App <- Apps] ++ [{unload, App} || App <- Apps]).

%% They stay loaded.
-spec pause([removed()]) -> ok | {error, binary()}.
pause(Apps) ->
    each([{stop, App} || {{application, App, _}, _, _} <- lists:reverse(ordered(Apps))]).

%% What others need goes first.
ordered([]) ->
    [];
ordered(Apps) ->
    Names = [App || {{application, App, _}, _, _} <- Apps],
    Free = [
        A
     || {{application, _, Keys}, _, _} = A <- Apps, Names -- proplists:get_value(applications, Keys, []) =:= Names
    ],
    First = hd(Free ++ Apps),
    [First | ordered(Apps -- [First])].

%% With the environment that each had, before it starts.
-spec start_again([removed()]) -> ok | {error, binary()}.
start_again(Removed) ->
    Gone = [R || {{application, App, _}, _, _} = R <- Removed, not is_loaded(App)],
    each([{load, Spec} || {Spec, _, _} <- Gone] ++
        [{env, App, Env} || {{application, App, _}, _, Env} <- Gone] ++
        lists:append([
            [{start, App}, {settle, App, Type}]
         || {{application, App, _}, Type, _} <- ordered(Removed), Type =/= none
        ])).

%% Those that run have their start types from here on.
-spec settle([added()]) -> ok.
settle(Added) ->
    each([{settle, App, Type} || {{application, App, _}, Type} <- Added, Type =/= none]).

each([]) ->
    ok;
each([Act | Acts]) ->
    case act(Act) of
        ok -> each(Acts);
        {error, _} = Error -> Error
    end.

act({load, Spec}) ->
    one("load", element(2, Spec), limited(application, load, [Spec], ?LIMIT), already_loaded);
act({env, App, Env}) ->
    _ = [application:unset_env(App, K) || {K, _} <- application:get_all_env(App), not lists:keymember(K, 1, Env)],
    application:set_env([{App, Env}], []);
act({settle, App, Type}) ->
    _ = limited(sys, replace_state, [application_controller, fun(S) -> settled(S, App, Type) end], ?LIMIT),
    ok;
act({start, App}) ->
    Said = limited(application, start, [App, temporary], ?LIMIT),
    _ = [end_start(App) || Said =:= timeout],
    one("start", App, Said, already_started);
act({stop, App}) ->
    _ = end_start(App),
    one("stop", App, limited(application, stop, [App], ?LIMIT), not_started);
act({unload, App}) ->
    one("unload", App, limited(application, unload, [App], ?LIMIT), not_loaded).

one(_What, _App, {ok, ok}, _Fine) ->
    ok;
one(_What, App, {ok, {error, {Fine, App}}}, Fine) ->
    ok;
one(What, App, Said, _Fine) ->
    Why =
        case Said of
            {ok, {error, Reason}} -> nzd_agent_text:printed(Reason);
            timeout -> <<"it takes longer than 15 s">>;
            _ -> nzd_agent_text:printed(Said)
        end,
    Words = io_lib:format("application ~p does not ~s: ~ts", [App, What, Why]),
    {error, nzd_agent_text:text(Words)}.

%% No function of OTP's sets it. The list of start types is known by what is in
%% it, wherever a version of application_controller keeps it.
settled(State, App, Type) ->
    case started_in(State) of
        [I] ->
            Started = [
                case Entry of
                    {App, temporary} -> {App, Type};
                    _ -> Entry
                end
             || Entry <- element(I, State)
            ],
            setelement(I, State, Started);
        _ ->
            State
    end.

started_in(State) when is_tuple(State) ->
    [I || I <- lists:seq(1, tuple_size(State)), is_started(element(I, State))];
started_in(_) ->
    [].

is_started([_ | _] = List) ->
    lists:member({kernel, permanent}, List) andalso
        lists:all(fun is_start_type/1, List);
is_started(_) ->
    false.

is_start_type({App, Type}) when is_atom(App) -> lists:member(Type, [permanent, transient, temporary]);
is_start_type(_) -> false.

%% Whether this OTP is one of those.
-spec can_settle() -> boolean().
can_settle() ->
    case limited(sys, get_state, [application_controller], ?LIMIT) of
        {ok, State} -> length(started_in(State)) =:= 1;
        _ -> false
    end.

is_loaded(App) ->
    lists:keymember(App, 1, application:loaded_applications()).

%% A start that hangs would come to its end behind the undo: its master goes,
%% and application_controller tells whoever waits for it.
end_start(App) ->
    Starting = proplists:get_value(starting, application:info(), []),
    case lists:keymember(App, 1, Starting) of
        true ->
            _ = [exit(P, kill) || {_, P} <- ets:lookup(ac_tab, {application_master, App})],
            wait_ended(App, 50);
        false ->
            ok
    end.

wait_ended(_App, 0) ->
    ok;
wait_ended(App, Tries) ->
    Starting = proplists:get_value(starting, application:info(), []),
    case lists:keymember(App, 1, Starting) of
        true ->
            timer:sleep(20),
            wait_ended(App, Tries - 1);
        false ->
            ok
    end.

%% What the call gives; `timeout`: it was ended.
-spec limited(module(), atom(), list(), pos_integer()) -> {ok, term()} | {raised, term()} | timeout.
limited(Module, Function, Args, Limit) ->
    Ref0 = make_ref(),
    {Pid, Ref} = spawn_monitor(?MODULE, call, [Ref0, Module, Function, Args]),
    receive
        {'DOWN', Ref, process, Pid, {Ref0, Said}} -> Said;
        {'DOWN', Ref, process, Pid, Why} -> {raised, Why}
    after Limit ->
        exit(Pid, kill),
        demonitor(Ref, [flush]),
        timeout
    end.

-spec call(reference(), module(), atom(), list()) -> no_return().
call(Ref, Module, Function, Args) ->
    exit(
        {Ref,
            try
                {ok, apply(Module, Function, Args)}
            catch
                Class:Reason:Stack -> {raised, raised(Class, Reason, Stack)}
            end}
    ).

raised(error, undef, Stack) -> {undef, Stack};
raised(_Class, Reason, _Stack) -> Reason.
