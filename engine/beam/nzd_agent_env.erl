%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the environment of applications, as two releases' files have it,
%% and as the node has it.
%%
%% A side is what sys.config and runtime.exs say; with the environment of each
%% specification it gives what a boot would put together: the specification's,
%% over it the configuration's, over both what the command line says, by keys or
%% by files of its own. A key
%% that both sides have alike, or that neither names, is nobody's business here,
%% whatever was set at run time.
-module(nzd_agent_env).

-export([changes/3, changed/1, held/1, look/1, put/1, reversed/1, tell/2]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([evaluate/2]).
-export_type([change/0]).

-define(READER, 'Elixir.Config.Reader').
%% Of runtime.exs, in milliseconds and words.
-define(EVALUATE, 10000).
-define(EVALUATE_HEAP, 32 * 1024 * 1024).

-type value() :: {value, term()} | absent.
%% What it is and what it is to be. `true`: a configuration names it, so it
%% is kept for an application that is loaded later.
-type change() :: {atom(), atom(), value(), value(), boolean()}.
-type side() :: {[{atom(), list()}], binary()}.

%% `Envs` holds the environments of the specifications on both sides.
-spec changes(side(), side(), [{atom(), list(), list()}]) -> {ok, [change()]} | {error, binary()}.
changes(Old, New, Envs) ->
    case {configured(Old), configured(New)} of
        {{ok, Was}, {ok, Is}} -> differences(Was, Is, Envs);
        {{error, Why}, _} -> {error, <<"the configuration in force: ", Why/binary>>};
        {_, {error, _} = Error} -> Error
    end.

differences(Was, Is, Envs) ->
    Apps = lists:usort([A || {A, _} <- Was ++ Is] ++ [A || {A, _, _} <- Envs]),
    Fixed = named_elsewhere(),
    Changes = [
        Change
     || App <- Apps,
        {_, Key, _, _, _} = Change <- of_app(App, Was, Is, Envs),
        not lists:member({App, Key}, Fixed)
    ],
    case [{A, K} || {A, K, _, _, _} <- Changes, lists:member(A, [kernel, stdlib, sasl])] of
        [] ->
            {ok, Changes};
        [{App, Key} | _] ->
            Format = "~p ~tp is read when the VM boots: --min restart-vm --max restart-vm",
            {error, nzd_agent_text:text(io_lib:format(Format, [App, Key]))}
    end.

of_app(App, Was, Is, Envs) ->
    {_, OldEnv, NewEnv} = keyed(App, Envs, {App, [], []}),
    {_, Before} = keyed(App, Was, {App, []}),
    {_, After} = keyed(App, Is, {App, []}),
    Old = over(OldEnv, Before),
    New = over(NewEnv, After),
    Flags = flags(init:get_argument(App)),
    [
        {App, Key, value(App, Key), in(Key, New), in(Key, Before ++ After) =/= absent}
     || Key <- lists:usort([K || {K, _} <- Old ++ New]),
        in(Key, Old) =/= in(Key, New),
        not lists:member(atom_to_list(Key), Flags),
        {App, Key} =/= {elixir, config_provider_init}
    ].

keyed(App, List, Default) ->
    case lists:keyfind(App, 1, List) of
        false -> Default;
        Found -> Found
    end.

over(Env, Config) ->
    [{K, V} || {K, V} <- Env, in(K, Config) =:= absent] ++ Config.

in(Key, Env) ->
    case lists:keyfind(Key, 1, Env) of
        {_, Value} -> {value, Value};
        false -> absent
    end.

%% Files that the command line names besides the release's, which a boot reads
%% over it.
named_elsewhere() ->
    case init:get_argument(config) of
        {ok, Lists} -> lists:flatmap(fun file_keys/1, others(lists:append(Lists)));
        error -> []
    end.

others([]) ->
    [];
others([_ | Files]) ->
    Copy = os:getenv("RELEASE_SYS_CONFIG", ""),
    [F || F <- Files, rootname(F) =/= rootname(Copy), filename:basename(rootname(F)) =/= "sys"].

file_keys(File) ->
    case file:consult(rootname(File) ++ ".config") of
        {ok, [Config]} when is_list(Config) ->
            [{App, Key} || {App, Env} <- Config, is_list(Env), {Key, _} <- Env];
        _ ->
            []
    end.

rootname(File) -> filename:rootname(File, ".config").

flags({ok, Lists}) -> lists:flatmap(fun flag_keys/1, Lists);
flags(error) -> [].

flag_keys([Key, _ | Rest]) -> [Key | flag_keys(Rest)];
flag_keys(_) -> [].

-spec value(atom(), atom()) -> value().
value(App, Key) ->
    case application:get_env(App, Key) of
        {ok, Value} -> {value, Value};
        undefined -> absent
    end.

%% --- what a side says ------------------------------------------------------

configured({Config, Runtime}) ->
    case provider(Config) of
        none -> {ok, Config};
        Options -> provided(Config, Runtime, Options)
    end.

provider(Config) ->
    {_, Elixir} = keyed(elixir, Config, {elixir, []}),
    case in(config_provider_init, Elixir) of
        {value, #{providers := [{?READER, {_Path, Options}} | _]}} when is_list(Options) -> Options;
        {value, #{providers := [{?READER, _Path} | _]}} -> [];
        _ -> none
    end.

%% Whoever ends it ends with it: what it has not said by then is not said.
provided(Config, Runtime, Options) ->
    Limits = #{size => ?EVALUATE_HEAP, kill => true, error_logger => false},
    {Pid, Ref} = spawn_opt(?MODULE, evaluate, [Runtime, Options], [
        monitor, {priority, low}, {max_heap_size, Limits}
    ]),
    receive
        {'DOWN', Ref, process, Pid, {evaluated, Said}} ->
            {ok, ?READER:merge(Config, Said)};
        {'DOWN', Ref, process, Pid, {failed, Why}} ->
            {error, <<"runtime.exs: ", Why/binary>>};
        {'DOWN', Ref, process, Pid, Why} ->
            {error, <<"runtime.exs: ended by ", (nzd_agent_text:printed(Why))/binary>>}
    after ?EVALUATE ->
        exit(Pid, kill),
        demonitor(Ref, [flush]),
        {error, <<"runtime.exs has not ended within 10 s">>}
    end.

-spec evaluate(binary(), list()) -> no_return().
evaluate(Runtime, Options) ->
    exit(
        try
            {evaluated, ?READER:'eval!'(<<"runtime.exs">>, Runtime, Options)}
        catch
            Class:Reason:Stack -> {failed, banner(Class, Reason, Stack)}
        end
    ).

banner(Class, Reason, Stack) ->
    try
        nzd_agent_text:text('Elixir.Exception':format_banner(Class, Reason, Stack))
    catch
        _:_ -> nzd_agent_text:printed(Reason)
    end.

%% --- what the node has -----------------------------------------------------

%% What each key is now.
-spec look([change()]) -> [change()].
look(Changes) ->
    [{App, Key, value(App, Key), New, Kept} || {App, Key, _, New, Kept} <- Changes].

%% Those that are not yet as they are to be.
-spec changed([change()]) -> [change()].
changed(Changes) ->
    [Change || {_, _, Old, New, _} = Change <- look(Changes), Old =/= New].

-spec reversed([change()]) -> [change()].
reversed(Changes) ->
    [{App, Key, New, Old, Kept} || {App, Key, Old, New, Kept} <- Changes].

%% New values at once: between two of them nobody finds a key gone.
-spec put([change()]) -> ok | {error, binary()}.
put(Changes) ->
    try
        ok = set([{A, K, V} || {A, K, _, {value, V}, true} <- Changes], [{persistent, true}]),
        ok = set([{A, K, V} || {A, K, _, {value, V}, false} <- Changes], []),
        _ = [ok = application:unset_env(A, K, [{persistent, P}]) || {A, K, _, absent, P} <- Changes],
        put_all([{A, K} || {A, K, _, _, _} <- changed(Changes)])
    catch
        _:Why -> {error, <<"the environment: ", (nzd_agent_text:printed(Why))/binary>>}
    end.

set([], _Options) ->
    ok;
set(Values, Options) ->
    Apps = lists:usort([A || {A, _, _} <- Values]),
    application:set_env([{App, [{K, V} || {A, K, V} <- Values, A =:= App]} || App <- Apps], Options).

put_all([]) ->
    ok;
put_all([{App, Key} | _]) ->
    {error, nzd_agent_text:text(io_lib:format("~p ~tp was set by somebody else meanwhile", [App, Key]))}.

%% Keys whose new value no file could hold.
-spec held([change()]) -> [binary()].
held(Changes) ->
    [
        nzd_agent_text:text(io_lib:format("~p ~tp", [App, Key]))
     || {App, Key, _, {value, Value}, _} <- Changes, is_of_this_vm(Value)
    ].

is_of_this_vm(Value) when is_pid(Value); is_port(Value); is_reference(Value) -> true;
is_of_this_vm(Value) when is_function(Value) -> erlang:fun_info(Value, type) =:= {type, local};
is_of_this_vm([Head | Tail]) -> is_of_this_vm(Head) orelse is_of_this_vm(Tail);
is_of_this_vm(Value) when is_tuple(Value) -> is_of_this_vm(tuple_to_list(Value));
is_of_this_vm(Value) when is_map(Value) -> is_of_this_vm(maps:to_list(Value));
is_of_this_vm(_) -> false.

%% --- who is told -----------------------------------------------------------

%% As application_controller:config_change/1 does, each in a process of its own
%% with `Limit` milliseconds: a callback that hangs holds up nobody else.
-spec tell([change()], pos_integer()) -> ok | {error, binary()}.
tell([], _Limit) ->
    ok;
tell(Changes, Limit) ->
    case nzd_agent_apps:limited(application, which_applications, [infinity], Limit) of
        {ok, Running} -> tell_those([App || {App, _, _} <- Running], Changes, Limit);
        _ -> {error, <<"nobody was told of the environment: application_controller does not answer">>}
    end.

tell_those(Running, Changes, Limit) ->
    Apps = lists:usort([A || {A, _, _, _, _} <- Changes, lists:member(A, Running)]),
    Failed = [Why || App <- Apps, {error, Why} <- [tell_app(App, Changes, Limit)]],
    case Failed of
        [] -> ok;
        [Why | _] -> {error, Why}
    end.

tell_app(App, Changes, Limit) ->
    case application:get_key(App, mod) of
        {ok, {Module, _}} ->
            Said = nzd_agent_apps:limited(Module, config_change, sorted(App, Changes), Limit),
            took(App, Module, Said);
        _ ->
            ok
    end.

sorted(App, Changes) ->
    Changed = [{K, V} || {A, K, {value, _}, {value, V}, _} <- Changes, A =:= App],
    New = [{K, V} || {A, K, absent, {value, V}, _} <- Changes, A =:= App],
    Removed = [K || {A, K, {value, _}, absent, _} <- Changes, A =:= App],
    [Changed, New, Removed].

took(_App, _Module, {ok, ok}) ->
    ok;
took(_App, Module, {raised, {undef, [{Module, config_change, _, _} | _]}}) ->
    ok;
took(App, Module, Said) ->
    Why = nzd_agent_text:printed(Said),
    {error, nzd_agent_text:text(io_lib:format("~p: ~p:config_change/3 said ~ts", [App, Module, Why]))}.
