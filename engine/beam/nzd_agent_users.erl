%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: who runs the callbacks of a module. Every process is looked at, so
%% that those are found that no supervisor knows; and supervisors are asked, as
%% a child may run its module behind the callbacks of another one (GenStage).
%% All who are found can be asked by system messages.
%%
%% What a process is stands in its '$initial_call': proc_lib writes it for each
%% behaviour, Phoenix, Agent and others write their own over it. The callback
%% module of a gen_server that was entered in another way stands in a slot of its
%% stack. Which module a gen_statem has come to, and which handlers a gen_event
%% has, only they know: nzd_agent_state asks them when they are suspended.
-module(nzd_agent_users).

-include("nzd_agent.hrl").

-export([find/3, tree/2, starters/2]).

%% Whose frame shows that a process handles system messages.
-define(BEHAVIOURS, [gen_server, gen_statem, gen_event, gen_fsm, gen]).
%% Heap of a process whose stack is still printed, values and all.
-define(PRINTED_WORDS, (1 bsl 17)).

%% Modules says of each whether it has a code_change; Tree is what tree/2 gave.
%% Seen are the processes of which it is known what they run; with those of which
%% it is known now it is given back.
-spec find(#{module() => boolean()}, map(), map()) -> {[#user{}], map()}.
find(Modules, Tree, Seen) ->
    Now = [
        {P, look(P, Modules, Tree)}
     || P <- erlang:processes(), not is_map_key(P, Seen), P =/= self()
    ],
    Told = [P || {P, What} <- Now, What =/= early],
    {[U || {_, #user{} = U} <- Now], maps:merge(Seen, maps:from_keys(Told, true))}.

look(P, Modules, Tree) ->
    case process_info(P, initial_call) of
        {initial_call, {proc_lib, init_p, _}} ->
            Items = [dictionary, current_stacktrace, current_function],
            case process_info(P, Items) of
                undefined ->
                    none;
                [{_, Dictionary}, {_, Stack}, {_, At}] ->
                    user(P, Dictionary, [{M, F} || {M, F, _, _} <- Stack], At, Modules, Tree)
            end;
        _ ->
            none
    end.

user(P, Dictionary, Frames, At, Modules, Tree) ->
    Call = proplists:get_value('$initial_call', Dictionary, none),
    case runs(Call, P, Frames, Modules) of
        none ->
            early(Call, Modules, named(P, Dictionary, Frames, At, Tree));
        agent ->
            none;
        {Kind, Mine} ->
            Asleep = is_asleep(At),
            User = #user{pid = P, kind = Kind, modules = Mine, asleep = Asleep},
            described(sure(User), Dictionary, Frames)
    end.

is_asleep(?ASLEEP) -> true;
is_asleep(_) -> false.

%% It has not begun yet, or is not yet where it will be: it is looked at again.
early(none, _Modules, none) -> early;
early({M, _, _}, Modules, none) when is_map_key(M, Modules) -> early;
early(_Call, _Modules, Named) -> Named.

sure(#user{kind = maybe_statem} = User) -> User#user{kind = statem, sure = false};
sure(#user{kind = Kind} = User) -> User#user{sure = Kind =/= event}.

described(User, Dictionary, Frames) ->
    Marks = [Mark || {{?KEPT, _}, Mark} <- Dictionary],
    Kept = Marks =/= [],
    Suspended = [F || {sys, F} <- Frames, F =:= suspend_loop orelse F =:= suspend_loop_hib],
    User#user{
        parent = parent(proplists:get_value('$ancestors', Dictionary, [])),
        kept = Kept,
        left = lists:append([Code || {_, Code} <- Marks]),
        foreign = lists:keymember({?KEPT, foreign}, 1, Dictionary) orelse
            (Suspended =/= [] andalso not Kept)
    }.

parent([Parent | _]) when is_pid(Parent) -> Parent;
parent([Name | _]) when is_atom(Name) -> whereis(Name);
parent(_) -> undefined.

%% {Kind, Modules whose code_change it has to be asked for}.
runs({supervisor, M, 1}, _P, _Frames, Modules) ->
    case is_map_key(M, Modules) of
        true -> {supervisor, [M]};
        false -> none
    end;
runs({gen_event, init_it, _}, _P, _Frames, Modules) ->
    case [M || {M, true} <- maps:to_list(Modules), exports(M, [{handle_event, 2}, {init, 1}])] of
        [] -> none;
        Handlers -> {event, Handlers}
    end;
runs({M, F, A}, P, Frames, Modules) ->
    case behaviour(M, Frames) of
        gen_statem -> machine(M, Modules);
        special -> with_change(special, M, Modules);
        none -> none;
        _ when F =:= init, A =:= 1 -> with_change(server, M, Modules);
        _ -> entered(M, F, P, Modules)
    end;
runs(_Other, _P, _Frames, _Modules) ->
    none.

with_change(Kind, M, Modules) ->
    case Modules of
        #{M := true} -> {Kind, [M]};
        _ -> none
    end.

%% It may have changed its callback module to any of them.
machine(M, Modules) ->
    case [S || {S, true} <- maps:to_list(Modules), exports(S, [{callback_mode, 0}])] of
        [] ->
            none;
        Machines ->
            case lists:member(M, Machines) of
                true -> {statem, [M | Machines -- [M]]};
                false -> {maybe_statem, Machines}
            end
    end.

%% By gen_server:enter_loop; or it has written an '$initial_call' of its own. An
%% Agent does so, and bears the name of a fun of its module: its code_change is
%% not for us, nor is that of what shows no more than a fun.
entered(M, F, P, Modules) ->
    Slots = slots(P),
    Callbacks = [S || {S, true} <- maps:to_list(Modules), lists:member(atom_to_binary(S), Slots)],
    case {lists:member(<<"Elixir.Agent.Server">>, Slots), Callbacks} of
        {true, _} ->
            agent;
        {false, [Callback | _]} ->
            {server, [Callback]};
        {false, []} ->
            case atom_to_list(F) of
                "-" ++ _ -> none;
                _ -> with_change(server, M, Modules)
            end
    end.

%% Atoms that stand in slots of the stack.
slots(P) ->
    case process_info(P, total_heap_size) of
        {total_heap_size, Words} when Words =< ?PRINTED_WORDS ->
            slots_of(process_info(P, backtrace));
        _ ->
            []
    end.

%% OTP 26 and later keep it in a record, with its funs behind it.
slots_of({backtrace, Text}) ->
    Records = matches(Text, "^y\\([0-9]+\\) +\\{(?:callback_cache|server_data),(.*?),(?:fun |#Fun<)"),
    matches(Text, "^y\\([0-9]+\\) +'?([^'\\s]+)'?$") ++
        [
            string:trim(Atom, both, "'")
         || R <- Records, Atom <- binary:split(R, <<",">>, [global])
        ];
slots_of(undefined) ->
    [].

matches(Text, Pattern) ->
    case re:run(Text, Pattern, [multiline, global, {capture, [1], binary}]) of
        {match, Found} -> lists:append(Found);
        nomatch -> []
    end.

%% What runs its loop: what the stack shows; of one that hibernates or is
%% suspended, what its module looks like.
behaviour(M, Frames) ->
    case [B || {B, _} <- lists:reverse(Frames), lists:member(B, ?BEHAVIOURS)] of
        [gen | _] -> looks_like(M);
        [B | _] -> B;
        [] -> hidden(M, Frames)
    end.

hidden(M, Frames) ->
    Hidden = Frames =:= [] orelse length(Frames) >= 8 orelse lists:keymember(sys, 1, Frames),
    case exports(M, [{system_continue, 3}, {system_code_change, 4}]) of
        true -> special;
        false when Hidden -> looks_like(M);
        false -> none
    end.

looks_like(M) ->
    case {exports(M, [{callback_mode, 0}]), exports(M, [{handle_call, 3}])} of
        {true, _} -> gen_statem;
        {_, true} -> gen_server;
        _ -> none
    end.

exports(M, Functions) ->
    lists:all(fun({F, A}) -> erlang:function_exported(M, F, A) end, Functions).

%%% --- supervisors ------------------------------------------------------

%% Its child specification names a module that its '$initial_call' does not.
named(P, Dictionary, Frames, At, Tree) ->
    case Tree of
        #{P := Modules} ->
            Shown = [B || {B, _} <- Frames, lists:member(B, ?BEHAVIOURS)],
            Asleep = is_asleep(At),
            case kind_of_named(Shown, Asleep, Modules) of
                none ->
                    none;
                Kind ->
                    User = #user{pid = P, kind = Kind, modules = Modules, asleep = Asleep},
                    described(User, Dictionary, Frames)
            end;
        _ ->
            none
    end.

%% One that hibernates shows nothing, and asking it would be all that could tell:
%% it is taken for what the module is that its supervisor names.
kind_of_named([], false, _Modules) ->
    none;
kind_of_named([], true, [M | _]) ->
    case looks_like(M) of
        gen_server -> server;
        gen_statem -> statem;
        none -> none
    end;
kind_of_named(_Shown, _Asleep, _Modules) ->
    server.

%% #{Child => Modules} of children whose specification names one of the modules
%% that have a code_change; what no supervisor tells in time is not there.
-spec tree(#{module() => boolean()}, integer()) -> map().
tree(Modules, Deadline) ->
    Tag = make_ref(),
    Asked = [P || P <- erlang:processes(), P =/= self(), is_supervisor(P)],
    _ = [P ! {'$gen_call', {self(), {Tag, P}}, which_children} || P <- Asked],
    Children = told(Tag, maps:from_keys(Asked, true), Deadline, []),
    maps:from_list([
        {Child, Mine}
     || {_, Child, worker, Named} <- Children,
        is_pid(Child),
        is_list(Named),
        Mine <- [[M || M <- Named, maps:get(M, Modules, false)]],
        Mine =/= []
    ]).

told(_Tag, Asked, _Deadline, Children) when map_size(Asked) =:= 0 ->
    Children;
told(Tag, Asked, Deadline, Children) ->
    receive
        {{Tag, P}, More} when is_list(More) ->
            told(Tag, maps:remove(P, Asked), Deadline, More ++ Children)
    after max(0, Deadline - erlang:monotonic_time(millisecond)) -> Children
    end.

is_supervisor(P) ->
    case process_info(P, [initial_call, dictionary]) of
        [{_, {proc_lib, init_p, _}}, {_, Dictionary}] ->
            case proplists:get_value('$initial_call', Dictionary, none) of
                {supervisor, _, 1} -> true;
                _ -> false
            end;
        _ ->
            false
    end.

%% The supervisors that start such processes: while they are suspended they
%% start no more of them.
-spec starters([#user{}], map()) -> [#user{}].
starters(Users, Held) ->
    Parents = lists:usort([P || #user{parent = P} <- Users, is_pid(P), node(P) =:= node()]),
    [
        described(#user{pid = P, kind = starter, modules = []}, Dictionary, [
            {M, F}
         || {M, F, _, _} <- Stack
        ])
     || P <- Parents,
        not is_map_key(P, Held),
        is_supervisor(P),
        [{_, Dictionary}, {_, Stack}] <- [process_info(P, [dictionary, current_stacktrace])]
    ].
