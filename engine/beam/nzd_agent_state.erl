%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the states of processes over a change of code, by system messages
%% as sys(3) has them. All processes are asked at once, and answer as they come.
%%
%% A state is kept by the process itself, in its dictionary: it is not copied,
%% and it is there whoever of us dies. The mark also tells a process that an
%% agent has suspended from one that somebody else has, and says of which code the
%% state is: an agent that comes after one that is gone puts it back where that
%% code runs, and knows by it whether it is to be converted. The messages of one
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

-export([users/1, specials/1, supervisors/1, newcomers/1]).
-export([suspend/2, suspend_kept/1, put_back/2, put_back_kept/1, take_up/2, resume/1]).
%% Run in the processes themselves, by name, so that no closure of ours stays
%% there.
-export([back/1, back_handler/1, raw/1, raw_handler/1]).
-export([let_go/1, let_handler_go/1, gone_on/1, handler_gone_on/1]).

%% Milliseconds: a slice, the pause between two, and how long those are waited
%% for who are in our hands.
-define(SLICE, 1000).
-define(PAUSE, 50).
-define(PROMPT, 2000).
%% Milliseconds for supervisors to tell of their children.
-define(TELL, 200).
%% Answers with a whole state in them that may be on their way at a time.
-define(WINDOW, 32).
%% The tag of messages that nobody waits for an answer of, and of those that a
%% process has sent to itself.
-define(WORD, nzd).
-define(OWN, nzd_own).

%% {Pid, Name, Module, Version, 0} of each that runs one of the modules, without
%% touching it.
-spec users(#{module() => boolean()}) -> [tuple()].
users(Modules) when map_size(Modules) =:= 0 ->
    [];
users(Modules) ->
    Tree = nzd_agent_users:tree(Modules, nzd_agent_text:now_ms() + ?TELL),
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
    attempt(Modules, Limit, Limit).

%% Left is what is left of the limit. To look for them is no part of it, however
%% many processes there are.
attempt(Modules, Left, Limit) ->
    Tree = nzd_agent_users:tree(Modules, nzd_agent_text:now_ms() + min(Left, ?TELL)),
    {Users, Seen} = nzd_agent_users:find(Modules, Tree, #{}),
    Held = #held{modules = Modules, tree = Tree, seen = Seen},
    Begin = nzd_agent_text:now_ms(),
    %% Those who are asked must not keep us from asking the others.
    _ = process_flag(priority, high),
    case gather(Users, min(Left, ?SLICE), Held#held{begun = erlang:monotonic_time()}) of
        {ok, All} ->
            {ok, All#held{suspended_us = nzd_agent_text:since(All#held.begun)}};
        {late, Late, Some} ->
            _ = resume((runnable(Some))#held{hung = [P || #user{pid = P} <- Late]}),
            case Left - (nzd_agent_text:now_ms() - Begin) - ?PAUSE of
                More when More > 0 ->
                    timer:sleep(?PAUSE),
                    attempt(Modules, More, Limit);
                _ ->
                    {error, {suspend, [row(U) || U <- Late], Limit}}
            end
    end.

%% What was left with a state of other code stays until that is settled.
runnable(#held{users = Users} = Held) ->
    Held#held{users = maps:filter(fun(_, #user{kept = Kept}) -> not Kept end, Users)}.

%% Only those that an agent has left suspended.
-spec suspend_kept(#{module() => boolean()}) -> #held{}.
suspend_kept(Modules) when map_size(Modules) =:= 0 ->
    #held{modules = Modules};
suspend_kept(Modules) ->
    {Users, _} = nzd_agent_users:find(Modules, #{}, #{}),
    %% A supervisor that changes, too, is asked once.
    Known = maps:from_keys([P || #user{pid = P} <- Users], true),
    All = Users ++ nzd_agent_users:starters(Users, Known),
    Held = #held{modules = Modules, begun = erlang:monotonic_time()},
    Deadline = nzd_agent_text:now_ms() + ?PROMPT,
    case asked([U || #user{kept = true} = U <- All], Deadline, Held) of
        {ok, Some} -> Some;
        %% In a code_change that does not return: nobody waits for it again.
        {late, Late, #held{users = Ours, hung = Before} = Some} ->
            Hung = [P || #user{pid = P} <- Late] ++ Before,
            only_users(maps:without(Hung, Ours), Deadline, Some#held{hung = Hung})
    end.

%% Until a look finds nobody new. Those that one look finds have a slice.
gather([], _Slice, Held) ->
    {ok, Held};
gather(Users, Slice, #held{users = Known} = Held) ->
    Taken = maps:merge(Known, maps:from_keys([P || #user{pid = P} <- Users], true)),
    Starters = nzd_agent_users:starters([U || #user{sure = true} = U <- Users], Taken),
    case asked(Users ++ Starters, nzd_agent_text:now_ms() + Slice, Held) of
        {ok, Held1} ->
            #held{modules = Modules, tree = Tree, seen = Seen} = Held1,
            {New, Seen1} = nzd_agent_users:find(Modules, Tree, Seen),
            gather(
                [U || #user{pid = P} = U <- New, not is_map_key(P, Held1#held.users)],
                Slice,
                Held1#held{seen = Seen1}
            );
        {late, Late, Held1} ->
            {late, Late, Held1}
    end.

%% Suspends them, has each keep its state, and learns which modules it runs.
asked(Users0, Deadline, Held) ->
    Users = with_handlers(awake(Users0, Deadline), Held#held.modules),
    Tag = make_ref(),
    Nobody = nzd_agent_who:nobody(),
    Sent = maps:from_list([{U#user.pid, ask(U, Tag, Nobody)} || U <- Users]),
    {Answered, Waiting} = suspended(Tag, Sent, Deadline, #{}),
    Still = maps:from_list([
        {P, standing(U, W)}
     || #user{pid = P} = U <- Users, #{P := W} <- [Waiting], stands_still(U)
    ]),
    Ours = maps:merge(maps:filter(fun(_, U) -> is_stashed(U) end, Answered), Still),
    Late = maps:without(maps:keys(Ours), maps:merge(Answered, Waiting)),
    Known = Held#held{
        users = maps:merge(Held#held.users, maps:merge(Ours, Late)),
        hung = maps:keys(Still) ++ Held#held.hung
    },
    case map_size(Late) of
        0 -> {ok, only_users(Ours, Deadline, Known)};
        _ -> {late, maps:values(Late), Known}
    end.

%% Its mark says that an agent before us has suspended it and that its state is of
%% other code, and nobody has told it since to go on: it does not come back from
%% its code_change. It finds behind that what it is told meanwhile.
stands_still(#user{pid = P, left = Left}) ->
    not fits(Left) andalso
        case process_info(P, messages) of
            {messages, Messages} -> [M || {system, _, resume} = M <- Messages] =:= [];
            undefined -> false
        end.

standing(#user{kind = Kind, modules = Modules, left = Left}, Asked) ->
    Mine =
        case Kind of
            event -> [M || {M, _} <- Left];
            _ -> Modules
        end,
    Asked#user{modules = Mine, left = Left, kept = true, sure = true}.

%% The first answer goes to nobody: the second `suspend` is read when the state
%% is kept, and its answer holds no state.
ask(#user{pid = P} = User, Tag, Nobody) ->
    Ref = monitor(process, P),
    P ! {system, {Nobody, Tag}, suspend},
    P ! {system, {Nobody, Tag}, {replace_state, keep(User, self(), {Tag, P})}},
    P ! {system, {self(), {Tag, P}}, suspend},
    User#user{monitor = Ref, kept = false, left = [], modules = told_modules(User)}.

%% A gen_event tells them itself.
told_modules(#user{kind = event}) -> [];
told_modules(#user{modules = Modules}) -> Modules.

keep(#user{kind = event} = User, Agent, Tag) ->
    fun({M, Id, State} = Handler) ->
        ok = note(User),
        {Left, Now} = stash({?KEPT, {M, Id}}, State, [M]),
        kept(User, Agent, Tag, {kept, [M], Left}),
        setelement(3, Handler, Now)
    end;
keep(#user{modules = Modules} = User, Agent, Tag) ->
    fun(State) ->
        ok = note(User),
        {Left, Now} = stash({?KEPT, state}, nzd_agent_change:from_aside(State), Modules),
        kept(User, Agent, Tag, {kept, [], Left}),
        Now
    end.

%% Whose word it waits for, for an agent that comes when we are gone.
note(#user{foreign = Foreign}) ->
    _ = [put({?KEPT, foreign}, true) || Foreign],
    ok.

%% In the process itself. Who comes to it when the agent is gone lets itself go; one
%% that the agent knew of is found by its mark, and so is one with a state of other
%% code, which that agent has taken over from another one.
kept(User, Agent, Tag, Word) ->
    case is_process_alive(Agent) orelse not lists:all(fun fits/1, marked()) of
        true -> Agent ! {Tag, Word};
        false -> go_on(User#user{pid = self()}, {Agent, ?OWN}, {Agent, ?OWN})
    end.

marked() ->
    [Code || {{?KEPT, _}, {_, Code}} <- get()].

%% A gen_event without handlers keeps nothing; any other one that does not
%% cannot be put back.
is_stashed(#user{kind = Kind, stashed = Stashed}) ->
    Stashed orelse Kind =:= event.

%% {Code, State}: what was there already, from an agent that is gone. Under the
%% code that it is of it is what counts, whatever became of it since.
stash(Key, State, Modules) ->
    ok = own_words_off(),
    case get(Key) of
        {Kept, Code} ->
            case fits(Code) of
                true -> {Code, instead(Key, Kept, State)};
                false -> {Code, State}
            end;
        _ ->
            put(Key, {State, code(Modules)}),
            {[], State}
    end.

%% What it was converted to is kept, too: a gen_statem may have to be given it.
instead({?KEPT, state}, Kept, State) when Kept =/= State ->
    _ = [put({?KEPT, converted}, {State}) || get({?KEPT, converted}) =:= undefined],
    Kept;
instead(_Key, Kept, _State) ->
    Kept.

%% One that was busy while an agent ended and another one came has told itself to
%% go on behind what the other one says to it, and would run while that holds it:
%% with a mark, or without one where the first had let it go before it ended.
own_words_off() ->
    receive
        {system, {_, ?OWN}, _} -> own_words_off()
    after 0 -> ok
    end.

code(Modules) ->
    [{M, code_of(M)} || M <- Modules].

code_of(M) ->
    {nzd_agent_text:info(M, md5), nzd_agent_text:info(M, attributes)}.

fits(Code) ->
    lists:all(fun({M, Of}) -> code_of(M) =:= Of end, Code).

suspended(_Tag, Waiting, _Deadline, Done) when map_size(Waiting) =:= 0 ->
    {Done, #{}};
suspended(Tag, Waiting, Deadline, Done) ->
    receive
        {{Tag, P}, {kept, Modules, Left}} ->
            #{P := #user{modules = Known, left = Before, kept = Kept} = User} = Waiting,
            Told = User#user{
                modules = Known ++ Modules,
                left = Left ++ Before,
                kept = Kept orelse not fits(Left),
                stashed = true
            },
            suspended(Tag, Waiting#{P := Told}, Deadline, Done);
        {{Tag, P}, ok} ->
            {User, Rest} = maps:take(P, Waiting),
            suspended(Tag, Rest, Deadline, Done#{P => User});
        {'DOWN', _, process, P, _} when is_map_key(P, Waiting) ->
            suspended(Tag, maps:remove(P, Waiting), Deadline, Done)
    after nzd_agent_text:left(Deadline) ->
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
    Deadline = nzd_agent_text:now_ms() + ?TELL,
    Told = maps:from_list([
        Answer
     || P <- Events,
        Answer <-
            [
                receive
                    {{Tag, P}, Handlers} -> {P, Handlers}
                after nzd_agent_text:left(Deadline) -> {P, unknown}
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
only_users(Suspended, Deadline, #held{modules = Modules, users = Users, hung = Hung} = Held) ->
    Machines = [P || {P, #user{kind = statem}} <- maps:to_list(maps:without(Hung, Suspended))],
    Runs = statuses(Machines, max(Deadline, nzd_agent_text:now_ms() + ?PROMPT), fun callback/1),
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

%% Of one that was left it is not known which code has told it its mode.
in_mode(#user{modules = Modules, left = Left} = User) ->
    User#user{modes = [nzd_agent_change:mode(M) || M <- Modules, Left =:= []]}.

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
            after nzd_agent_text:left(Deadline) ->
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

%%% --- back and on ------------------------------------------------------

%% Each goes on with the state it had when it was suspended. From is that of
%% nzd_agent_change:refresh/3.
-spec put_back(#held{}, fun((module()) -> {term(), term()} | none)) -> map().
put_back(#held{users = Users} = Held, From) ->
    back_with(maps:values(Users)),
    {Refreshed, Failed} = nzd_agent_change:refresh(Held, ?PROMPT, From),
    (resume(Refreshed))#{put_back => true, failed => Failed}.

%% Those alone that an agent has left.
-spec put_back_kept(#held{}) -> #held{}.
put_back_kept(#held{users = Users} = Held) ->
    back_with([U || #user{kept = true} = U <- maps:values(Users)]),
    Held.

%% Those that an agent has left behind the load of an undo keep what is of the
%% code that has gone. Where that was to convert them it has; where the one that
%% runs is to, they are given it again. They alone are to change, with the version
%% that is in #{Module => Attributes}; the others have what they had.
-spec take_up(#held{}, up | down) -> {#held{}, #{module() => [tuple()]}}.
take_up(#held{users = Users} = Held, Way) ->
    Nobody = {nzd_agent_who:nobody(), ?WORD},
    Left = [U || #user{kept = true} = U <- maps:values(Users)],
    _ = [tell(U, Nobody, fun ?MODULE:raw/1, fun ?MODULE:raw_handler/1) || U <- Left, Way =:= up],
    Turned = maps:map(fun(_, #user{kept = Kept} = U) -> U#user{kept = not Kept} end, Users),
    {Held#held{users = Turned}, maps:from_list([
        {M, Attributes}
     || #user{left = Code} <- Left, {M, {_, Attributes}} <- Code
    ])}.

back_with(Users) ->
    Nobody = {nzd_agent_who:nobody(), ?WORD},
    _ = [tell(U, Nobody, fun ?MODULE:back/1, fun ?MODULE:back_handler/1) || U <- Users],
    ok.

tell(#user{pid = P, kind = event}, To, _Fun, Handler) ->
    P ! {system, To, {replace_state, Handler}};
tell(#user{pid = P}, To, Fun, _Handler) ->
    P ! {system, To, {replace_state, Fun}}.

%% What is of other code was converted since. The mark stays until it goes on:
%% without it whoever comes next would leave it suspended.
-spec back(term()) -> term().
back(State) ->
    back({?KEPT, state}, State).

-spec back_handler({module(), term(), term()}) -> {module(), term(), term()}.
back_handler({M, Id, State}) ->
    {M, Id, back({?KEPT, {M, Id}}, State)}.

back(Key, State) ->
    case get(Key) of
        {Kept, Code} ->
            case fits(Code) of
                true -> instead(Key, Kept, State);
                false -> State
            end;
        _ ->
            State
    end.

-spec raw(term()) -> term().
raw(State) ->
    raw({?KEPT, state}, State).

-spec raw_handler({module(), term(), term()}) -> {module(), term(), term()}.
raw_handler({M, Id, State}) ->
    {M, Id, raw({?KEPT, {M, Id}}, State)}.

raw(Key, State) ->
    case get(Key) of
        {Kept, _} -> Kept;
        _ -> State
    end.

%% The state that it had is needed no more. The mark itself is dropped when it
%% runs: without it whoever comes next would take it for somebody else's doing.
-spec let_go(term()) -> term().
let_go(State) ->
    _ = [put({?KEPT, state}, going) || get({?KEPT, state}) =/= undefined],
    _ = erase({?KEPT, converted}),
    State.

-spec let_handler_go({module(), term(), term()}) -> {module(), term(), term()}.
let_handler_go({M, Id, _} = Handler) ->
    _ = [put({?KEPT, {M, Id}}, going) || get({?KEPT, {M, Id}}) =/= undefined],
    Handler.

%% Not that of an agent that has come since.
-spec gone_on(term()) -> term().
gone_on(State) ->
    _ = erase({?KEPT, foreign}),
    _ = [erase({?KEPT, state}) || get({?KEPT, state}) =:= going],
    State.

-spec handler_gone_on({module(), term(), term()}) -> {module(), term(), term()}.
handler_gone_on({M, Id, _} = Handler) ->
    _ = erase({?KEPT, foreign}),
    _ = [erase({?KEPT, {M, Id}}) || get({?KEPT, {M, Id}}) =:= going],
    Handler.

%% All go on, but for those that somebody else has suspended. Says how many there
%% were and for how long, in microseconds.
-spec resume(#held{}) -> map().
resume(#held{users = Users, hung = Hung} = Held) ->
    Tag = make_ref(),
    Nobody = {nzd_agent_who:nobody(), ?WORD},
    All = maps:values(Users),
    _ = [process_flag(priority, normal) || Held#held.begun =/= none],
    _ = [go_on(U, {self(), {Tag, P}}, Nobody) || #user{pid = P} = U <- All],
    going(Tag, maps:without(Hung, Users), nzd_agent_text:now_ms() + ?PROMPT),
    _ = [demonitor(Ref, [flush]) || #user{monitor = Ref} <- All, is_reference(Ref)],
    #{
        users => length([U || #user{kind = K} = U <- All, K =/= starter]),
        starters => length([U || #user{kind = starter} = U <- All]),
        foreign => [row(U) || #user{foreign = true} = U <- All],
        changed => Held#held.changed,
        suspend_us => Held#held.suspended_us,
        change_us => Held#held.changed_us,
        held_us => held_us(Held)
    }.

%% Each word is a message of its own that is sent now: what a process would send
%% to itself when it reads them could stand behind what it is told next.
go_on(#user{pid = P, foreign = Foreign} = User, To, Nobody) ->
    tell(User, Nobody, fun ?MODULE:let_go/1, fun ?MODULE:let_handler_go/1),
    Word =
        case Foreign of
            true -> suspend;
            false -> resume
        end,
    P ! {system, To, Word},
    tell(User, Nobody, fun ?MODULE:gone_on/1, fun ?MODULE:handler_gone_on/1).

going(_Tag, Waiting, _Deadline) when map_size(Waiting) =:= 0 ->
    ok;
going(Tag, Waiting, Deadline) ->
    receive
        {{Tag, P}, _} -> going(Tag, maps:remove(P, Waiting), Deadline);
        {'DOWN', _, process, P, _} when is_map_key(P, Waiting) ->
            going(Tag, maps:remove(P, Waiting), Deadline)
    after nzd_agent_text:left(Deadline) -> ok
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
