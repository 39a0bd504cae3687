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

-export([can_settle/0, limited/4, load/1, look/1, pause/1, settle/1, start/2, start_again/1]).
-export([started/1, stop/1, take/1, unload/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([call/4]).
-export_type([added/0, removed/0]).

%% Milliseconds for one application.
-define(LIMIT, 15000).
%% And for application_controller to take start types.
-define(SETTLE, 5000).

%% {application, Name, Keys}, and how it is started; `none` is only loaded.
-type added() :: {tuple(), permanent | transient | temporary | none}.
%% The same of what ran, and its environment.
-type removed() :: {tuple(), permanent | transient | temporary | none, [{atom(), term()}]}.

%% What these are, to have them again; those that are not loaded are not in it.
-spec look([atom()]) -> [removed()].
look(Apps) ->
    Started = all_started(),
    [
        {{application, App, Keys}, proplists:get_value(App, Started, none), application:get_all_env(App)}
     || App <- Apps, {ok, Keys} <- [application:get_all_key(App)]
    ].

%% The start types of those that run.
-spec started([atom()]) -> [{atom(), permanent | transient | temporary}].
started(Apps) ->
    [{App, Type} || {App, Type} <- all_started(), lists:member(App, Apps)].

all_started() ->
    proplists:get_value(started, application:info(), []).

%% What is included goes first: loading looks for the file of one that is not
%% loaded, unloading takes it along.
-spec load([added()]) -> ok | {error, binary()}.
load(Added) ->
    each([{load, element(1, A)} || A <- ordered([included_applications], Added)]).

%% All are loaded. The others were paused.
-spec start([added()], [removed()]) -> ok | {error, binary()}.
start(Added, Paused) ->
    Starting = [{Spec, Type, []} || {Spec, Type} <- Added, Type =/= none],
    each([{start, name(A)} || A <- needed_first(Starting ++ Paused)]).

-spec stop([atom()]) -> ok | {error, binary()}.
stop(Apps) ->
    each([{stop, App} || App <- Apps]).

-spec unload([atom()]) -> ok | {error, binary()}.
unload(Apps) ->
    each([{unload, name(A)} || A <- ordered([included_applications], look(Apps))]).

%% They stay loaded.
-spec pause([removed()]) -> ok | {error, binary()}.
pause(Apps) ->
    each([{stop, name(A)} || A <- lists:reverse(needed_first(Apps))]).

%% What a start takes in, of those that are loaded and do not run.
-spec take([tuple()]) -> ok | {error, binary()}.
take(Specs) ->
    each([{take, Spec} || Spec <- Specs]).

needed_first(Apps) ->
    ordered([applications, optional_applications], Apps).

%% What others name under these keys goes first, all else as it is.
ordered(_Keys, []) ->
    [];
ordered(Keys, Apps) ->
    Names = [name(A) || A <- Apps],
    Free = [A || A <- Apps, Names -- named(Keys, A) =:= Names],
    First = hd(Free ++ Apps),
    [First | ordered(Keys, Apps -- [First])].

name(App) ->
    element(2, element(1, App)).

named(Keys, App) ->
    {application, _, Said} = element(1, App),
    lists:append([proplists:get_value(K, Said, []) || K <- Keys]).

%% With the environment that each had, before it starts.
-spec start_again([removed()]) -> ok | {error, binary()}.
start_again(Removed) ->
    Gone = [R || R <- ordered([included_applications], Removed), not is_loaded(name(R))],
    each([{load, Spec} || {Spec, _, _} <- Gone] ++
        [{env, name(R), element(3, R)} || R <- Gone] ++
        lists:append([
            [{start, App}, {settle, App, temporary, Type}]
         || {{application, App, _}, Type, _} <- needed_first(Removed), Type =/= none
        ])).

%% Those that run, as `From`, have these start types from here on. An
%% application_controller that is busy does it when it comes to it.
-spec settle([{atom(), atom(), atom()}]) -> ok | {error, binary()}.
settle(Types) ->
    case [T || {_, From, To} = T <- Types, To =/= none, To =/= From] of
        [] -> ok;
        Some -> settled_in_time(Some, controlled(fun(State) -> all_settled(State, Some) end))
    end.

controlled(Fun) ->
    limited(sys, replace_state, [application_controller, Fun], ?SETTLE).

settled_in_time(_Types, {ok, _}) ->
    ok;
settled_in_time(Types, _) ->
    Names = lists:join(", ", [atom_to_list(App) || {App, _, _} <- Types]),
    Words = "application_controller is busy: until it comes to it, the start types of ~ts are what they were",
    {error, nzd_agent_text:text(io_lib:format(Words, [Names]))}.

all_settled(State, Types) ->
    lists:foldl(fun({App, From, To}, All) -> settled(All, App, From, To) end, State, Types).

each([]) ->
    ok;
each([Act | Acts]) ->
    case act(Act) of
        ok -> each(Acts);
        {error, _} = Error -> Error
    end.

act({load, {application, App, _} = Spec}) ->
    case is_loaded(App) of
        true -> ok;
        false -> one("load", App, limited(application, load, [Spec], ?LIMIT), already_loaded)
    end;
act({env, App, Env}) ->
    _ = [application:unset_env(App, K) || {K, _} <- application:get_all_env(App), not lists:keymember(K, 1, Env)],
    application:set_env([{App, Env}], []);
act({take, {application, App, _} = Spec}) ->
    taken(App, nzd_agent_paths:put_app(Spec, 3));
act({settle, App, From, To}) ->
    _ = settle([{App, From, To}]),
    ok;
act({start, App}) ->
    Said = limited(application, start, [App, temporary], ?LIMIT),
    _ = [end_start(App) || Said =:= timeout],
    one("start", App, Said, already_started);
act({stop, App}) ->
    _ = end_start(App),
    one("stop", App, limited(application, stop, [App], ?LIMIT), not_started);
act({unload, App}) ->
    case detach(App, application:get_all_key(App)) of
        ok -> one("unload", App, limited(application, unload, [App], ?LIMIT), not_loaded);
        {error, _} = Error -> Error
    end.

taken(_App, true) ->
    ok;
taken(App, false) ->
    Words = "application ~p: this OTP keeps its keys in a form that is not known",
    {error, nzd_agent_text:text(io_lib:format(Words, [App]))}.

%% What it includes and is loaded still is to stay.
detach(App, {ok, Keys}) ->
    case lists:any(fun is_loaded/1, proplists:get_value(included_applications, Keys, [])) of
        true -> act({take, {application, App, lists:keydelete(included_applications, 1, Keys)}});
        false -> ok
    end;
detach(_App, undefined) ->
    ok.

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
settled(State, App, From, To) ->
    case started_in(State) of
        [I] ->
            Started = [
                case Entry of
                    {App, From} -> {App, To};
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
