%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the states of processes over a change of code, by system messages
%% as sys(3) has them. All processes are asked at once, and answer as they come.
%%
%% A state is kept by the process itself, in its dictionary: it is not copied,
%% and it is there whoever of us dies. The mark also tells a process that an
%% agent has suspended from one that somebody else has. The messages of one
%% process are read in the order they were sent, so one that is busy reads, when
%% it comes to it, that it is suspended, and that it is resumed again.
%%
%% Who cannot be suspended within a slice of the time limit may wait for somebody
%% who is: then all are resumed, and it is tried again until the limit is over.
%% Nobody is held up for longer than a slice by another one who is busy.
%%
%% Processes that start meanwhile are looked for until there are no more; their
%% supervisors are suspended with them. One that was started behind the last
%% look and before the load, by somebody else, is found behind the load.
-module(nzd_agent_state).

-include("nzd_agent.hrl").

-export([users/1, specials/1, supervisors/1, suspend/2, refresh/2, suspend_kept/1, newcomers/1, change/4, put_back/1, put_back_kept/1, resume/1]).
%% Run in the processes themselves, by name, so that no closure of ours stays
%% there.
-export([back/1, back_handler/1, drop/1, drop_handler/1, aside/1, from_aside/1]).

%% Milliseconds: a slice, the pause between two, and how long those are waited
%% for who are in our hands.
-define(SLICE, 1000).
-define(PAUSE, 50).
-define(PROMPT, 2000).
%% Milliseconds for supervisors to tell of their children.
-define(TELL, 200).
%% Answers with a whole state in them that may be on their way at a time.
-define(WINDOW, 32).

-record(held, {
    modules :: #{module() => boolean()},
    tree = #{} :: map(),
    seen = #{} :: map(),
    users = #{} :: #{pid() => #user{}},
    %% They did not come back from their code_change.
    hung = [] :: [pid()],
    begun = none :: none | integer(),
    suspended_us = 0 :: non_neg_integer(),
    changed = 0 :: non_neg_integer(),
    changed_us = 0 :: non_neg_integer()
}).

%% {Pid, Name, Module, Version, 0} of each that runs one of the modules, without
%% touching it.
-spec users(#{module() => boolean()}) -> [tuple()].
users(Modules) when map_size(Modules) =:= 0 ->
    [];
users(Modules) ->
    Tree = nzd_agent_users:tree(Modules, now_ms() + ?TELL),
    {Users, _} = nzd_agent_users:find(Modules, Tree, #{}),
    Sure = [U || #user{sure = Sure, kind = Kind} = U <- Users, Sure orelse Kind =:= event],
    [
        setelement(3, row(U), M)
     || #user{kind = Kind, modules = Mine} = U <- with_handlers(Sure, Modules),
        M <- one_or_all(Kind, Mine)
    ].

%% Pids, as text, of the special processes among them: they leave their loop when
%% they are suspended, and come back into the code that runs then.
-spec specials(#{module() => boolean()}) -> [binary()].
specials(Modules) ->
    {Users, _} = nzd_agent_users:find(Modules, #{}, #{}),
    [nzd_agent_text:text(pid_to_list(P)) || #user{pid = P, kind = special} <- Users].

one_or_all(event, Mine) -> Mine;
one_or_all(_Kind, Mine) -> lists:sublist(Mine, 1).

%%% --- suspend ----------------------------------------------------------

%% Modules says of each whether it has a code_change, Limit is in milliseconds.
%% Not ok: all run again.
-spec suspend(#{module() => boolean()}, pos_integer()) -> {ok, #held{}} | {error, term()}.
suspend(Modules, _Limit) when map_size(Modules) =:= 0 ->
    {ok, #held{modules = Modules}};
suspend(Modules, Limit) ->
    attempt(Modules, now_ms() + Limit, Limit).

attempt(Modules, Deadline, Limit) ->
    Slice = min(Deadline, now_ms() + ?SLICE),
    Tree = nzd_agent_users:tree(Modules, min(Deadline, now_ms() + ?TELL)),
    {Users, Seen} = nzd_agent_users:find(Modules, Tree, #{}),
    Held = #held{modules = Modules, tree = Tree, seen = Seen},
    %% Those who are asked must not keep us from asking the others.
    _ = process_flag(priority, high),
    case gather(Users, Slice, Held#held{begun = erlang:monotonic_time()}) of
        {ok, All} ->
            {ok, All#held{suspended_us = nzd_agent_text:since(All#held.begun)}};
        {late, Late, Some} ->
            _ = resume(Some#held{hung = [P || #user{pid = P} <- Late]}),
            case now_ms() < Deadline of
                true ->
                    timer:sleep(?PAUSE),
                    attempt(Modules, Deadline, Limit);
                false ->
                    {error, {suspend, [row(U) || U <- Late], Limit}}
            end
    end.

%% Only those that an agent has left suspended.
-spec suspend_kept(#{module() => boolean()}) -> #held{}.
suspend_kept(Modules) when map_size(Modules) =:= 0 ->
    #held{modules = Modules};
suspend_kept(Modules) ->
    {Users, _} = nzd_agent_users:find(Modules, #{}, #{}),
    All = Users ++ nzd_agent_users:starters(Users, #{}),
    Held = #held{modules = Modules, begun = erlang:monotonic_time()},
    case asked([U || #user{kept = true} = U <- All], now_ms() + ?PROMPT, Held) of
        {ok, _, Some} -> Some;
        {late, _, Some} -> Some
    end.

%% Until a look finds nobody new.
gather([], _Deadline, Held) ->
    {ok, Held};
gather(Users, Deadline, #held{users = Known} = Held) ->
    Taken = maps:merge(Known, maps:from_keys([P || #user{pid = P} <- Users], true)),
    Starters = nzd_agent_users:starters([U || #user{sure = true} = U <- Users], Taken),
    case asked(Users ++ Starters, Deadline, Held) of
        {ok, _Asked, Held1} ->
            #held{modules = Modules, tree = Tree, seen = Seen} = Held1,
            {New, Seen1} = nzd_agent_users:find(Modules, Tree, Seen),
            gather(
                [U || #user{pid = P} = U <- New, not is_map_key(P, Held1#held.users)],
                Deadline,
                Held1#held{seen = Seen1}
            );
        {late, Late, Held1} ->
            {late, Late, Held1}
    end.

%% Suspends them, has each keep its state, and learns which modules it runs.
asked(Users0, Deadline, Held) ->
    Users = with_handlers(awake(Users0, Deadline), Held#held.modules),
    Tag = make_ref(),
    Nobody = nobody(),
    Sent = maps:from_list([{U#user.pid, ask(U, Tag, Nobody)} || U <- Users]),
    {Suspended, Late0} = suspended(Tag, Sent, Deadline, #{}),
    Late = maps:merge(Late0, maps:filter(fun(_, U) -> not is_stashed(U) end, Suspended)),
    Known = maps:merge(Held#held.users, maps:merge(Suspended, Late)),
    case map_size(Late) of
        0 -> {ok, Suspended, only_users(Suspended, Deadline, Held#held{users = Known})};
        _ -> {late, maps:values(Late), Held#held{users = Known}}
    end.

%% The first answer goes to nobody: the second `suspend` is read when the state
%% is kept, and its answer holds no state.
ask(#user{pid = P} = User, Tag, Nobody) ->
    Ref = monitor(process, P),
    P ! {system, {Nobody, Tag}, suspend},
    P ! {system, {Nobody, Tag}, {replace_state, keep(User, self(), {Tag, P})}},
    P ! {system, {self(), {Tag, P}}, suspend},
    User#user{monitor = Ref, kept = false, modules = told_modules(User)}.

%% A gen_event tells them itself.
told_modules(#user{kind = event}) -> [];
told_modules(#user{modules = Modules}) -> Modules.

keep(#user{kind = event} = User, Agent, Tag) ->
    fun({M, Id, State} = Handler) ->
        Kept = stash({?KEPT, {M, Id}}, State),
        kept(User, Agent, Tag, {kept, [M], Kept}),
        Handler
    end;
keep(User, Agent, Tag) ->
    fun(State) ->
        Kept = stash({?KEPT, state}, State),
        kept(User, Agent, Tag, {kept, [], Kept}),
        State
    end.

%% In the process itself. Who comes to it when the agent is gone lets itself go;
%% one that the agent knew of is found by its mark.
kept(User, Agent, Tag, Word) ->
    case is_process_alive(Agent) of
        true -> Agent ! {Tag, Word};
        false -> go_on(User#user{pid = self()}, Agent, nzd, Agent)
    end.

%% A gen_event without handlers keeps nothing; any other one that does not
%% cannot be put back.
is_stashed(#user{kind = Kind, stashed = Stashed}) ->
    Stashed orelse Kind =:= event.

%% True: it was there already, from an agent that is gone.
stash(Key, State) ->
    case get(Key) of
        undefined ->
            put(Key, {State}),
            false;
        {_} ->
            true
    end.

suspended(_Tag, Waiting, _Deadline, Done) when map_size(Waiting) =:= 0 ->
    {Done, #{}};
suspended(Tag, Waiting, Deadline, Done) ->
    receive
        {{Tag, P}, {kept, Modules, Kept}} ->
            #{P := #user{modules = Known} = User} = Waiting,
            Told = User#user{modules = Known ++ Modules, kept = Kept, stashed = true},
            suspended(Tag, Waiting#{P := Told}, Deadline, Done);
        {{Tag, P}, ok} ->
            {User, Rest} = maps:take(P, Waiting),
            suspended(Tag, Rest, Deadline, Done#{P => User});
        {'DOWN', _, process, P, _} when is_map_key(P, Waiting) ->
            suspended(Tag, maps:remove(P, Waiting), Deadline, Done)
    after left(Deadline) ->
        {Done, Waiting}
    end.

%% One that hibernates is asked whether it is suspended: it does not show.
awake(Users, Deadline) ->
    Asleep = [P || #user{pid = P, asleep = true, kept = false} <- Users],
    States = statuses(Asleep, Deadline, fun([_, SysState | _]) -> SysState end),
    [U#user{foreign = F orelse maps:get(P, States, running) =:= suspended}
     || #user{pid = P, foreign = F} = U <- Users].

%% Of each gen_event the handlers; those that have none of them are left alone.
%% One that does not tell now is taken for one that has.
-spec with_handlers([#user{}], #{module() => boolean()}) -> [#user{}].
with_handlers(Users, Modules) ->
    Tag = make_ref(),
    Events = [P || #user{pid = P, kind = event} <- Users],
    _ = [P ! {self(), {self(), {Tag, P}}, get_modules} || P <- Events],
    Deadline = now_ms() + ?TELL,
    Told = maps:from_list([
        Answer
     || P <- Events,
        Answer <-
            [
                receive
                    {{Tag, P}, Handlers} -> {P, Handlers}
                after left(Deadline) -> {P, unknown}
                end
            ]
    ]),
    [
        Told1
     || #user{pid = P} = U <- Users,
        #user{} = Told1 <- [with_told(U, maps:get(P, Told, unknown), Modules)]
    ].

with_told(User, unknown, _Modules) ->
    User;
with_told(User, Handlers, Modules) ->
    case [M || M <- Handlers, maps:get(M, Modules, false)] of
        [] -> none;
        Mine -> User#user{modules = Mine}
    end.

%% Those that turn out to run none of the modules go on at once.
only_users(Suspended, Deadline, #held{modules = Modules, users = Users} = Held) ->
    Machines = [P || {P, #user{kind = statem}} <- maps:to_list(Suspended)],
    Runs = statuses(Machines, max(Deadline, now_ms() + ?PROMPT), fun callback/1),
    Known = maps:map(fun(P, U) -> known(U, Runs, P, Modules) end, Suspended),
    Not = maps:filter(
        fun(_, #user{kind = Kind, modules = Mine}) -> Kind =/= starter andalso Mine =:= [] end,
        Known
    ),
    _ = resume(Held#held{users = Not, begun = none}),
    Held#held{users = maps:without(maps:keys(Not), maps:merge(Users, Known))}.

known(#user{kind = statem, modules = Mine} = User, Runs, P, _Modules) ->
    case Runs of
        #{P := M} -> in_mode(User#user{modules = [M || lists:member(M, Mine)]});
        _ -> in_mode(User#user{modules = [M || M <- lists:sublist(Mine, 1), User#user.sure]})
    end;
known(#user{kind = event, modules = Mine} = User, _Runs, _P, Modules) ->
    User#user{modules = lists:usort([M || M <- Mine, maps:get(M, Modules, false)])};
known(User, _Runs, _P, _Modules) ->
    User.

in_mode(#user{modules = Modules} = User) ->
    User#user{modes = [mode(M) || M <- Modules]}.

mode(M) ->
    try
        M:callback_mode()
    catch
        _:_ -> none
    end.

%% What gen_statem:format_status/2 of stdlib puts there.
callback([_, _, _, _, Misc]) ->
    hd([M || {data, Items} <- Misc, {"Modules", [M | _]} <- Items]).

%% #{Pid => Value} of sys:get_status/1; a few at a time, for there is a state in
%% each answer.
statuses(Pids, Deadline, Value) ->
    statuses(Pids, Deadline, Value, #{}).

statuses([], _Deadline, _Value, Found) ->
    Found;
statuses(Pids, Deadline, Value, Found) ->
    {Now, Later} = lists:split(min(?WINDOW, length(Pids)), Pids),
    Tag = make_ref(),
    _ = [P ! {system, {self(), {Tag, P}}, get_status} || P <- Now],
    Found1 = lists:foldl(
        fun(P, All) ->
            receive
                {{Tag, P}, {status, P, _, Items}} ->
                    try
                        All#{P => Value(Items)}
                    catch
                        error:_ -> All
                    end;
                {{Tag, P}, _} ->
                    All
            after left(Deadline) ->
                All
            end
        end,
        Found,
        Now
    ),
    statuses(Later, Deadline, Value, Found1).

%% Processes of the modules that were started behind the last look.
-spec newcomers(#held{}) -> ok | {error, term()}.
newcomers(#held{modules = Modules}) when map_size(Modules) =:= 0 ->
    ok;
newcomers(#held{modules = Modules, tree = Tree, seen = Seen, users = Users}) ->
    {New, _} = nzd_agent_users:find(Modules, Tree, Seen),
    case [U || #user{pid = P} = U <- New, not is_map_key(P, Users), U#user.sure] of
        [] -> ok;
        Started -> {error, {started, [row(U) || U <- Started]}}
    end.

%% Those whose module changes, and that somebody resumes.
-spec supervisors(#held{}) -> [{pid(), module()}].
supervisors(#held{users = Users}) ->
    [
        {P, M}
     || {P, #user{kind = supervisor, modules = [M], foreign = false}} <- maps:to_list(Users)
    ].

%%% --- change -----------------------------------------------------------

%% Has those of these kinds change their states; Vsn gives the version and
%% the extra argument that code_change is called with. `first`: the first that fails ends it, and all states are to be
%% put back; `all`: who fails is told, and keeps the state it has.
-spec change(
    #held{}, [atom()], fun((module()) -> {term(), term()}), {first | all, pos_integer()}
) -> {ok, #held{}, [term()]} | {error, term(), #held{}}.
change(#held{users = Users} = Held, Kinds, Vsn, {Until, Limit}) ->
    Begin = erlang:monotonic_time(),
    Tag = make_ref(),
    Asked = [
        {P, M}
     || {P, #user{kind = Kind, modules = Mine, kept = false}} <- maps:to_list(Users),
        lists:member(Kind, Kinds),
        M <- Mine,
        changes(Kind, M)
    ],
    _ = [
        P ! {system, {self(), {Tag, {P, M}}}, {change_code, M, V, Extra}}
     || {P, M} <- Asked, {V, Extra} <- [Vsn(M)]
    ],
    Waiting = maps:from_keys(Asked, true),
    Failed = changed(Tag, Waiting, {Until, now_ms() + Limit}, Users, []),
    Done = Held#held{
        users = in_new_mode(Asked, Failed, Users),
        hung = [P || {P, _, hung} <- Failed] ++ Held#held.hung,
        changed = Held#held.changed + length(lists:usort([P || {P, _} <- Asked])),
        changed_us = Held#held.changed_us + nzd_agent_text:since(Begin)
    },
    case [failure(F, Users, Limit) || F <- lists:reverse(Failed)] of
        [Why | _] when Until =:= first -> {error, Why, Done};
        Failures -> {ok, Done, Failures}
    end.

%% Somebody has ended it; its code_change would have ended it otherwise.
is_wanted(normal) -> true;
is_wanted(shutdown) -> true;
is_wanted({shutdown, _}) -> true;
is_wanted(killed) -> true;
is_wanted(noproc) -> true;
is_wanted(_) -> false.

%% A gen_statem asks for its callback mode again behind its code_change.
in_new_mode(Asked, Failed, Users) ->
    lists:foldl(
        fun({P, M}, All) ->
            case All of
                #{P := #user{kind = statem, modes = Was} = User} ->
                    Is =
                        case Failed of
                            [] -> [mode(M)];
                            _ -> lists:usort([mode(M) | Was])
                        end,
                    All#{P := User#user{modes = Is}};
                _ ->
                    All
            end
        end,
        Users,
        Asked
    ).

changes(supervisor, _M) ->
    true;
changes(_Kind, M) ->
    lists:any(fun({F, A}) -> erlang:function_exported(M, F, A) end, [
        {code_change, 3}, {code_change, 4}, {system_code_change, 4}
    ]).

changed(_Tag, Waiting, _Until, _Users, Failed) when map_size(Waiting) =:= 0 ->
    Failed;
changed(_Tag, _Waiting, {first, _}, _Users, [_ | _] = Failed) ->
    Failed;
changed(Tag, Waiting, {_, Deadline} = Until, Users, Failed) ->
    receive
        {{Tag, Key}, ok} ->
            changed(Tag, maps:remove(Key, Waiting), Until, Users, Failed);
        {{Tag, {P, M} = Key}, Error} ->
            changed(Tag, maps:remove(Key, Waiting), Until, Users, [{P, M, Error} | Failed]);
        {'DOWN', _, process, P, Reason} when is_map_key(P, Users) ->
            Gone = [Key || {Q, _} = Key <- maps:keys(Waiting), Q =:= P],
            Ended = [{P, M, {ended, Reason}} || {_, M} <- Gone, not is_wanted(Reason)],
            changed(Tag, maps:without(Gone, Waiting), Until, Users, Ended ++ Failed)
    after left(Deadline) ->
        [{P, M, hung} || {P, M} <- maps:keys(Waiting)] ++ Failed
    end.

%% A gen_statem asks for its callback mode behind a code_change only. One whose
%% mode is not that of the code that runs now is asked for a code_change of that
%% code to itself, and gets the state that it had.
-spec refresh(#held{}, pos_integer()) -> {#held{}, [term()]}.
refresh(#held{users = Users, hung = Hung} = Held, Limit) ->
    Tag = make_ref(),
    Nobody = nobody(),
    Stale = [
        {P, M}
     || {P, #user{kind = statem, modules = [M], modes = Modes}} <- maps:to_list(Users),
        Modes =/= [mode(M)],
        not lists:member(P, Hung)
    ],
    _ = [
        begin
            Vsn = nzd_agent_text:vsn(nzd_agent_text:info(M, attributes)),
            P ! {system, {Nobody, nzd}, {replace_state, fun ?MODULE:aside/1}},
            P ! {system, {self(), {Tag, {P, M}}}, {change_code, M, Vsn, []}},
            P ! {system, {Nobody, nzd}, {replace_state, fun ?MODULE:from_aside/1}}
        end
     || {P, M} <- Stale
    ],
    Failed = changed(Tag, maps:from_keys(Stale, true), {all, now_ms() + Limit}, Users, []),
    {Held#held{users = in_new_mode(Stale, Failed, Users)}, [
        failure({P, M, {callback_mode, Why}}, Users, Limit)
     || {P, M, Why} <- Failed
    ]}.

-spec aside(term()) -> term().
aside(State) ->
    put({?KEPT, aside}, {State}),
    State.

-spec from_aside(term()) -> term().
from_aside(State) ->
    case erase({?KEPT, aside}) of
        {Aside} -> Aside;
        undefined -> State
    end.

failure({P, M, Why}, _Users, Limit) ->
    {migrate, nzd_agent_text:text(pid_to_list(P)), nzd_agent_who:name(P), M, reason(Why, Limit)}.

reason(hung, Limit) ->
    nzd_agent_text:text(io_lib:format("did not return within ~b ms", [Limit]));
reason({callback_mode, Why}, Limit) ->
    Text = reason(Why, Limit),
    <<"its callback_mode() is another one in this code, and ", Text/binary>>;
reason({ended, Reason}, _Limit) ->
    nzd_agent_text:printed({ended, Reason});
reason({error, {'EXIT', {Reason, [{M, F, A, _} | _]}}}, _Limit) when is_list(A) ->
    nzd_agent_text:printed({Reason, {M, F, length(A)}});
reason({error, {'EXIT', {Reason, [{M, F, A, _} | _]}}}, _Limit) ->
    nzd_agent_text:printed({Reason, {M, F, A}});
reason({error, {'EXIT', Reason}}, _Limit) ->
    nzd_agent_text:printed(Reason);
reason({error, Reason}, _Limit) ->
    nzd_agent_text:printed(Reason);
reason(Other, _Limit) ->
    nzd_agent_text:printed(Other).

%%% --- back and on ------------------------------------------------------

%% Each goes on with the state it had when it was suspended.
-spec put_back(#held{}) -> map().
put_back(#held{users = Users} = Held) ->
    back_with(maps:values(Users)),
    {Refreshed, Failed} = refresh(Held, ?PROMPT),
    (resume(Refreshed))#{put_back => true, failed => Failed}.

%% Those alone that an agent has left.
-spec put_back_kept(#held{}) -> #held{}.
put_back_kept(#held{users = Users} = Held) ->
    back_with([U || #user{kept = true} = U <- maps:values(Users)]),
    Held.

back_with(Users) ->
    Nobody = nobody(),
    _ = [tell(U, Nobody, fun ?MODULE:back/1, fun ?MODULE:back_handler/1) || U <- Users],
    ok.

tell(#user{pid = P, kind = event}, Nobody, _Fun, Handler) ->
    P ! {system, {Nobody, nzd}, {replace_state, Handler}};
tell(#user{pid = P}, Nobody, Fun, _Handler) ->
    P ! {system, {Nobody, nzd}, {replace_state, Fun}}.

-spec back(term()) -> term().
back(State) ->
    case erase({?KEPT, state}) of
        {Kept} -> Kept;
        undefined -> State
    end.

-spec back_handler({module(), term(), term()}) -> {module(), term(), term()}.
back_handler({M, Id, State}) ->
    case erase({?KEPT, {M, Id}}) of
        {Kept} -> {M, Id, Kept};
        undefined -> {M, Id, State}
    end.

-spec drop(term()) -> term().
drop(State) ->
    _ = erase({?KEPT, state}),
    State.

-spec drop_handler({module(), term(), term()}) -> {module(), term(), term()}.
drop_handler({M, Id, _} = Handler) ->
    _ = erase({?KEPT, {M, Id}}),
    Handler.

%% All go on, but for those that somebody else has suspended. Says how many there
%% were and for how long, in microseconds.
-spec resume(#held{}) -> map().
resume(#held{users = Users, hung = Hung} = Held) ->
    Tag = make_ref(),
    Nobody = nobody(),
    All = maps:values(Users),
    _ = [process_flag(priority, normal) || Held#held.begun =/= none],
    _ = [go_on(U, self(), Tag, Nobody) || U <- All],
    going(Tag, maps:without(Hung, Users), now_ms() + ?PROMPT),
    _ = [demonitor(Ref, [flush]) || #user{monitor = Ref} <- All, is_reference(Ref)],
    #{
        users => length([U || #user{kind = K} = U <- All, K =/= starter]),
        starters => length([U || #user{kind = starter} = U <- All]),
        foreign => [row(U) || #user{foreign = true, kept = false} = U <- All],
        changed => Held#held.changed,
        suspend_us => Held#held.suspended_us,
        change_us => Held#held.changed_us,
        held_us => held_us(Held)
    }.

go_on(#user{pid = P, foreign = Foreign, kept = Kept} = User, From, Tag, Nobody) ->
    tell(User, Nobody, fun ?MODULE:drop/1, fun ?MODULE:drop_handler/1),
    Word =
        case Foreign andalso not Kept of
            true -> suspend;
            false -> resume
        end,
    P ! {system, {From, {Tag, P}}, Word}.

going(_Tag, Waiting, _Deadline) when map_size(Waiting) =:= 0 ->
    ok;
going(Tag, Waiting, Deadline) ->
    receive
        {{Tag, P}, _} -> going(Tag, maps:remove(P, Waiting), Deadline);
        {'DOWN', _, process, P, _} when is_map_key(P, Waiting) ->
            going(Tag, maps:remove(P, Waiting), Deadline)
    after left(Deadline) -> ok
    end.

held_us(#held{begun = none}) -> 0;
held_us(#held{begun = Begun}) -> nzd_agent_text:since(Begun).

%%% --- small things -----------------------------------------------------

row(#user{pid = P, modules = Modules}) ->
    M =
        case Modules of
            [First | _] -> First;
            [] -> ''
        end,
    {nzd_agent_text:text(pid_to_list(P)), nzd_agent_who:name(P), M, <<>>, 0}.

%% What is sent there is not even copied.
nobody() ->
    {P, Ref} = spawn_monitor(erlang, is_atom, [ok]),
    receive
        {'DOWN', Ref, process, P, _} -> P
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).

left(Deadline) ->
    max(0, Deadline - now_ms()).
