%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: processes. Who is in old code, who stays in current code, who holds
%% closures, who runs a module's callbacks, who is supervised.
-module(nzd_agent_who).

-include("nzd_agent.hrl").

-export([
    closures/1,
    holders/1,
    in_old_code/1,
    inside/2,
    name/1,
    nobody/0,
    resident/2,
    seen_in_old_code/1,
    supervised_names/0,
    sweep/0,
    swept/1,
    users/1
]).

%% Milliseconds that a process is looked at before it counts as staying where
%% it is, and those up to the second look; each later one waits twice as long.
-define(STAY, 45).
-define(LOOK_GAP, 2).
%% Questions to processes, one for each module, that are open at a time.
-define(CHECKS, 8192).
%% Frames that process_info(P, current_stacktrace) shows at most.
-define(FRAMES, 8).
%% Heap of a process whose stack is still printed, values and all.
-define(PRINTED_WORDS, (1 bsl 20)).

-spec holders([tuple()]) -> [tuple()].
holders(Held) ->
    [{M, atom_to_binary(F), N} || {M, F, N} <- Held].

%% A closure may be garbage on the heap of an idle process: nobody is named
%% for that. Swept at most once a second, whoever asks.
-spec swept([tuple()]) -> [tuple()].
swept(Lambdas) ->
    Now = erlang:monotonic_time(second),
    case closures(Lambdas) of
        [] ->
            [];
        _ ->
            _ = [sweep() || put(swept, Now) =/= Now],
            closures(Lambdas)
    end.

%% Has every process collect; one that cannot now is not waited for.
-spec sweep() -> term().
sweep() ->
    {Pid, Ref} = spawn_monitor(fun() ->
        All = [P || P <- processes(), P =/= self()],
        _ = [garbage_collect(P, [{async, P}]) || P <- All],
        _ = [receive {garbage_collect, P, _} -> ok end || P <- All]
    end),
    receive
        {'DOWN', Ref, process, Pid, _} -> ok
    after 500 ->
        exit(Pid, kill),
        demonitor(Ref, [flush])
    end.

%% Who holds closures: a fun of each lambda is built from its external form,
%% its reference count tells. Counted in a process of its own, whose heap
%% holds none of them; what nobody holds is seen on a fun of ours.
-spec closures([tuple()]) -> [tuple()].
closures(Lambdas) ->
    {_, Ref} = spawn_monitor(fun() -> exit({held, held(lists:usort(Lambdas))}) end),
    receive
        {'DOWN', Ref, process, _, {held, Held}} -> Held;
        {'DOWN', Ref, process, _, _} -> []
    end.

held(Lambdas) ->
    Free = self(),
    Nobody = [
        element(2, erlang:fun_info(F, refc))
     || F <- [fun() -> ok end, fun() -> Free end]
    ],
    Base = lists:max([2 | [N || N <- Nobody, N < 4]]),
    [
        {M, Name, N - Base}
     || {M, Md5, Funs} <- Lambdas,
        {Name, Arity, Index, Count, Uniq} <- Funs,
        N <- [references(M, Md5, Arity, Index, Count, Uniq)],
        N > Base
    ].

references(M, Md5, Arity, Index, Count, Uniq) ->
    Name = atom_to_binary(M),
    <<131, Pid/binary>> = term_to_binary(self()),
    Free = binary:copy(<<97, 0>>, Count),
    Module =
        case byte_size(Name) of
            Short when Short < 256 -> <<119, Short, Name/binary>>;
            Long -> <<118, Long:16, Name/binary>>
        end,
    Body = <<
        Arity, Md5/binary, Index:32, Count:32, Module/binary, 98, Index:32,
        98, Uniq:32, Pid/binary, Free/binary
    >>,
    try binary_to_term(<<131, 112, (byte_size(Body) + 4):32, Body/binary>>) of
        Fun -> element(2, erlang:fun_info(Fun, refc))
    catch
        error:_ -> 0
    end.

%% {PidText, Name, Module, Function, Arity}: processes that the VM itself
%% finds in the old code of these modules.
-spec in_old_code([module()]) -> [tuple()].
in_old_code(Modules) ->
    case [M || M <- Modules, erlang:check_old_code(M)] of
        [] -> [];
        With -> in_old_code(With, [P || P <- erlang:processes(), P =/= self()])
    end.

in_old_code(With, Those) ->
    Found = find_in_old(Those, With, max(1, ?CHECKS div length(With))),
    [who(P, M, frame(P, M)) || {P, M} <- Found].

%% The same right behind a switch, for people: asked is only who has a frame in
%% one of them, old or current. Each process would have to answer for each
%% module, and be late with all else.
-spec seen_in_old_code([module()]) -> [tuple()].
seen_in_old_code(Modules) ->
    case [M || M <- Modules, erlang:check_old_code(M)] of
        [] ->
            [];
        With ->
            Set = maps:from_keys(With, true),
            Those = [P || P <- erlang:processes(), P =/= self(), inside(P, Set) =/= none],
            in_old_code(With, Those)
    end.

%% Many at a time: a busy process answers only when it is scheduled, all that
%% it was asked until then at once.
find_in_old([], _With, _AtOnce) ->
    [];
find_in_old(Those, With, AtOnce) ->
    {Now, Later} = lists:split(min(AtOnce, length(Those)), Those),
    Tag = make_ref(),
    Asked = [
        erlang:check_process_code(P, M, [{async, {Tag, P, M}}])
     || P <- Now,
        M <- With
    ],
    found_in_old(Tag, length(Asked)) ++ find_in_old(Later, With, AtOnce).

found_in_old(_Tag, 0) ->
    [];
found_in_old(Tag, Left) ->
    receive
        {check_process_code, {Tag, P, M}, true} -> [{P, M} | found_in_old(Tag, Left - 1)];
        {check_process_code, {Tag, _, _}, _} -> found_in_old(Tag, Left - 1)
    end.

frame(P, M) ->
    case [F || {M1, _, _} = F <- stack(P, #{M => true}), M1 =:= M] of
        [{_, Fun, Arity} | _] -> {Fun, Arity};
        [] -> {'', 0}
    end.

who(P, M, {Fun, Arity}) ->
    {nzd_agent_text:text(pid_to_list(P)), name(P), M, atom_to_binary(Fun), Arity}.

-spec name(pid()) -> binary().
name(P) ->
    case process_info(P, registered_name) of
        {registered_name, Name} when is_atom(Name) -> atom_to_binary(Name);
        _ -> <<>>
    end.

%% The frames of a process as {Module, Function, Arity}, innermost first. The
%% cheap way shows the first few; only a deeper stack costs a backtrace.
stack(P, Set) ->
    case process_info(P, current_stacktrace) of
        {current_stacktrace, Frames} ->
            Mfas = [{M, F, A} || {M, F, A, _} <- Frames],
            Seen = [F || {M, _, _} = F <- Mfas, is_map_key(M, Set)],
            case Seen of
                [] when length(Frames) >= ?FRAMES -> deep_stack(P);
                _ -> Mfas
            end;
        undefined ->
            []
    end.

deep_stack(P) ->
    Pattern =
        "^(?:Program counter: |0x[0-9a-f]+ Return addr )0x[0-9a-f]+ "
        "\\(('?)(.+?)\\1:('?)(.+?)\\3/([0-9]+) \\+",
    case process_info(P, backtrace) of
        {backtrace, Bin} ->
            case re:run(Bin, Pattern, [multiline, global, {capture, [2, 4, 5], binary}]) of
                {match, Found} -> lists:flatmap(fun known_frame/1, Found);
                nomatch -> []
            end;
        undefined ->
            []
    end.

%% Frames name only atoms that exist.
known_frame([M, F, A]) ->
    try
        [{binary_to_existing_atom(M), binary_to_existing_atom(F), binary_to_integer(A)}]
    catch
        error:_ -> []
    end.

%% Processes that would stay in current code of these modules when it becomes
%% old: they have a frame in it on every look, and what lies below their
%% outermost one does not change. A server that is at work in its callbacks
%% goes back to its own loop in between, which writes other values there. Who
%% has been seen outside, or below whom something else was seen, is looked at no
%% more: most are told apart by the first looks, and nobody waits for the last
%% one where nobody is left. Passed over: pids as texts.
-spec resident([module()], [binary()]) -> [tuple()].
resident(Modules, PassedOver) ->
    Set = maps:from_keys(Modules, true),
    Ours = [self(), whereis(?SERVER)],
    Except = maps:from_keys(Ours ++ [list_to_pid(binary_to_list(P)) || P <- PassedOver], true),
    First = [
        {P, F, unknown}
     || P <- erlang:processes(),
        not is_map_key(P, Except),
        {ok, F} <- [inside(P, Set)]
    ],
    Until = nzd_agent_text:now_ms() + ?STAY,
    [
        who(P, M, {F, A})
     || {P, {M, F, A}, _} <- look_again(First, Set, Until, ?LOOK_GAP, 1)
    ].

%% The second look is the first to see what lies below, so that there are
%% three at least.
look_again([], _Set, _Until, _Gap, _Looks) ->
    [];
look_again(Seen, Set, Until, Gap, Looks) ->
    timer:sleep(Gap),
    Again = [
        {P, F, Below}
     || {P, _, Before} <- Seen,
        {ok, F} <- [inside(P, Set)],
        Below <- [below(P, Set)],
        Below =/= gone,
        Before =:= unknown orelse Below =:= Before
    ],
    case Until - nzd_agent_text:now_ms() of
        Left when Left =< 0, Looks > 1 -> Again;
        Left -> look_again(Again, Set, Until, min(2 * Gap, max(1, Left)), Looks + 1)
    end.

%% A digest of the stack below the outermost frame in these modules, values
%% included; not of how deep it lies, which a collection may change. `large`
%% where printing it would cost more than it tells.
below(P, Set) ->
    case process_info(P, total_heap_size) of
        {total_heap_size, Words} when Words > ?PRINTED_WORDS ->
            large;
        undefined ->
            gone;
        _ ->
            case process_info(P, backtrace) of
                {backtrace, Text} -> below_last(frames(Text), Set);
                undefined -> gone
            end
    end.

%% "Program counter: A (M:F/N + D)", then of each caller
%% "A Return addr A (M:F/N + D)" and its values.
frames(Text) ->
    [
        re:replace(F, "^[0-9a-fx]+ Return addr", "", [{return, binary}])
     || F <- re:split(Text, "\n(?=0x[0-9a-f]+ Return addr )")
    ].

below_last(Frames, Set) ->
    Numbered = lists:zip(lists:seq(1, length(Frames)), Frames),
    Inside = [I || {I, F} <- Numbered, is_frame_of(F, Set)],
    erlang:md5(lists:nthtail(lists:max([0 | Inside]), Frames)).

is_frame_of(Frame, Set) ->
    Pattern = "^[^(\\n]*\\(('?)(.+?)\\1:",
    case re:run(Frame, Pattern, [{capture, [2], binary}]) of
        {match, [Name]} ->
            try
                maps:is_key(binary_to_existing_atom(Name), Set)
            catch
                error:badarg -> false
            end;
        nomatch ->
            false
    end.

-spec inside(pid(), #{module() => true}) -> {ok, mfa()} | none.
inside(P, Set) ->
    case [F || {M, _, _} = F <- stack(P, Set), is_map_key(M, Set)] of
        [F | _] -> {ok, F};
        [] -> none
    end.

%% Live processes whose callback module is one of these.
-spec users([module()]) -> [tuple()].
users(Modules) ->
    Set = maps:from_keys(Modules, true),
    [
        {nzd_agent_text:text(pid_to_list(P)), name(P), M}
     || P <- erlang:processes(),
        {initial_call, {proc_lib, init_p, _}} <- [process_info(P, initial_call)],
        {M, _, _} <- [callback(P)],
        maps:is_key(M, Set)
    ].

callback(P) ->
    case process_info(P, dictionary) of
        {dictionary, Dictionary} ->
            proplists:get_value('$initial_call', Dictionary, none);
        undefined ->
            none
    end.

%% Registered processes that a supervisor started.
-spec supervised_names() -> [atom()].
supervised_names() ->
    [N || N <- registered(), is_supervised(whereis(N))].

is_supervised(P) when is_pid(P) ->
    case process_info(P, [dictionary, links]) of
        [{dictionary, D}, {links, Links}] ->
            Ancestors = proplists:get_value('$ancestors', D, []),
            case Ancestors of
                [Parent | _] ->
                    Pid = parent(Parent),
                    is_pid(Pid) andalso lists:member(Pid, Links) andalso
                        is_supervisor(Pid);
                _ ->
                    false
            end;
        undefined ->
            false
    end;
is_supervised(_Port) ->
    false.

parent(Parent) when is_atom(Parent) -> whereis(Parent);
parent(Parent) -> Parent.

is_supervisor(P) ->
    case callback(P) of
        {supervisor, _, _} -> true;
        {M, init, _} when M =/= none -> is_supervisor_module(M);
        _ -> false
    end.

is_supervisor_module(M) ->
    Attributes = M:module_info(attributes),
    Behaviours = lists:append([
        B
     || {K, B} <- Attributes, K =:= behaviour orelse K =:= behavior
    ]),
    lists:member(supervisor, Behaviours) orelse
        lists:member('Elixir.Supervisor', Behaviours) orelse
        lists:member('Elixir.DynamicSupervisor', Behaviours).

%% What is sent there is not even copied.
-spec nobody() -> pid().
nobody() ->
    {P, Ref} = spawn_monitor(erlang, is_atom, [ok]),
    receive
        {'DOWN', Ref, process, P, _} -> P
    end.
