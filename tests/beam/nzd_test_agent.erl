%% SPDX-License-Identifier: Apache-2.0
%% What the agent does by itself in its node: what tests ask of it there.
-module(nzd_test_agent).
-behaviour(gen_server).

-export([crash_for/1, first_word/0, late_for_two/1, late_twice/0, tell_while_busy/1]).
-export([left_and_late/0, left_aside/0, left_of_somebody/0, left_with_one_that_hangs/1]).
-export([agent/1, suspended_within/1]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

%% It crashes whenever it takes up its work, for so many milliseconds: how many
%% of it there were.
-spec crash_for(pos_integer()) -> pos_integer().
crash_for(Ms) ->
    crash(erlang:monotonic_time(millisecond) + Ms, []).

crash(Until, Seen) ->
    case erlang:monotonic_time(millisecond) < Until of
        true ->
            timer:sleep(1),
            crash(Until, crashed(whereis(nzd), Seen));
        false ->
            length(Seen)
    end.

crashed(undefined, Seen) ->
    Seen;
crashed(Agent, Seen) ->
    case lists:member(Agent, Seen) of
        true ->
            Seen;
        false ->
            %% Nobody to whom an answer could be sent.
            Agent ! {nzd, ?MODULE, ref, fence, clock},
            [Agent | Seen]
    end.

%% A process that was suspended gets the first of the messages alone that let it
%% go on: the agent has ended behind it, and another one looks for what was left.
%% Whether it runs then, and what it keeps.
-spec first_word() -> {term(), list()}.
first_word() ->
    said(fun first_word/1).

%% By a process of its own, which dies if it goes wrong.
said(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({said, Fun(agent("state"))}) end),
    receive
        {'DOWN', Ref, process, Pid, {said, Said}} -> Said;
        {'DOWN', Ref, process, Pid, Reason} -> {failed, Reason}
    end.

first_word(State) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    {ok, Held} = State:suspend(#{?MODULE => true}, 1000),
    1 = erlang:trace(P, true, ['receive']),
    _ = State:resume(Held),
    First =
        receive
            {trace, P, 'receive', {system, _, _} = Message} -> Message
        end,
    1 = erlang:trace(P, false, ['receive']),
    {ok, _} = State:suspend(#{?MODULE => true}, 1000),
    P ! First,
    _ = State:resume(State:suspend_kept(#{?MODULE => true})),
    told(P, 2000).

%% A process that is busy through one attempt to suspend it and reads all of it in
%% the next one: whether it runs while the agent has it, and behind that.
-spec late_twice() -> {term(), {term(), list()}}.
late_twice() ->
    said(fun late_twice/1).

late_twice(State) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    %% Who was suspended before has a mark, as from an agent that is gone.
    {ok, _} = State:suspend(#{?MODULE => true}, 1000),
    {Busy, Ref} = spawn_monitor(fun() ->
        true = erlang:suspend_process(P),
        timer:sleep(1300),
        true = erlang:resume_process(P)
    end),
    timer:sleep(50),
    {ok, Held} = State:suspend(#{?MODULE => true}, 5000),
    receive
        {'DOWN', Ref, process, Busy, normal} -> ok
    end,
    {Held1, _} = told(P, 300),
    _ = State:resume(Held),
    {Held1, told(P, 2000)}.

%% The same, but that the agent of the first attempt has ended before it is read:
%% in the attempt, or when it had given it up.
-spec late_for_two(asking | given_up) -> {term(), {term(), list()}}.
late_for_two(Ended) ->
    said(fun(State) -> late_for_two(State, Ended) end).

late_for_two(State, Ended) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    true = erlang:suspend_process(P),
    Asked = asked_by_one_that_ends(State, P, Ended),
    %% Whoever has suspended it lets it go when both are in its queue.
    Helper = self(),
    {Second, Ref2} = spawn_monitor(fun() ->
        {ok, Held} = State:suspend(#{?MODULE => true}, 5000),
        Helper ! held,
        receive
            go_on -> State:resume(Held)
        end
    end),
    ok = until_asked(P, Asked + 3),
    true = erlang:resume_process(P),
    receive
        held -> ok
    end,
    {Held1, _} = told(P, 300),
    Second ! go_on,
    receive
        {'DOWN', Ref2, process, Second, _} -> ok
    end,
    {Held1, told(P, 2000)}.

%% How many words it has said to it.
asked_by_one_that_ends(State, P, Ended) ->
    {Limit, Words} =
        case Ended of
            asking -> {5000, 3};
            given_up -> {200, 6}
        end,
    {Agent, Ref} = spawn_monitor(fun() -> State:suspend(#{?MODULE => true}, Limit) end),
    ok = until_asked(P, Words),
    _ = [exit(Agent, kill) || Ended =:= asking],
    receive
        {'DOWN', Ref, process, Agent, _} -> Words
    end.

%% An agent has left a process with a state of other code, and it is busy while the
%% next one asks it and ends: whether it runs with that state.
-spec left_and_late() -> {term(), list()}.
left_and_late() ->
    said(fun left_and_late/1).

left_and_late(State) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    ok = leave(P, of_other_code(?MODULE, [])),
    true = erlang:suspend_process(P),
    _ = asked_by_one_that_ends(State, P, asking),
    true = erlang:resume_process(P),
    Said = told(P, 300),
    exit(P, kill),
    Said.

%% Of two processes that an agent has left, one does not answer the next one, which
%% is to convert what is left with a state of other code: how often the other one
%% was converted, a gen_statem beside another module of such.
-spec left_with_one_that_hangs(other | going) -> {list(), {runs, integer()}}.
left_with_one_that_hangs(Mark) ->
    said(fun(State) -> left_with_one_that_hangs(State, Mark) end).

left_with_one_that_hangs(State, Mark) ->
    {ok, Machine} = gen_statem:start(machine(nzd_test_machine), 0, []),
    Other = machine(nzd_test_machine_too),
    ok = leave(Machine, of_other_code(nzd_test_machine, {state, 0})),
    {ok, P} = gen_server:start(?MODULE, [], []),
    ok = leave(P, hd([going || Mark =:= going] ++ [of_other_code(?MODULE, [])])),
    true = erlang:suspend_process(P),
    Held = State:suspend_kept(#{?MODULE => true, nzd_test_machine => true, Other => true}),
    {Left, _} = State:take_up(Held, up),
    Vsn = fun(_) -> {1, []} end,
    {ok, Behind, Failed} = (agent("change")):change(Left, [server, statem], Vsn, {all, 300}),
    _ = State:resume(Behind),
    Hung = [hung || {migrate, _, _, ?MODULE, _} <- Failed],
    exit(P, kill),
    {Hung, gen_statem:call(Machine, what, 2000)}.

%% An agent asks a gen_statem for its callback mode, and ends before it has given it
%% back the state that it had: what it has, and what is kept of it.
-spec left_aside() -> {{runs, integer()}, list()}.
left_aside() ->
    said(fun left_aside/1).

left_aside(State) ->
    {ok, Machine} = gen_statem:start(machine(nzd_test_machine), 0, []),
    ok = leave(Machine, of_other_code(nzd_test_machine, {state, 0})),
    Change = agent("change"),
    Machine ! {system, {self(), aside}, {replace_state, fun Change:aside/1}},
    Machine ! {system, {self(), changed}, {change_code, nzd_test_machine, 1, []}},
    receive
        {changed, ok} -> ok
    end,
    _ = State:resume(State:suspend_kept(#{nzd_test_machine => true})),
    {gen_statem:call(Machine, what, 2000), marks(Machine)}.

%% Somebody else has suspended a process, and the agent ends that has, too: whether
%% it runs behind the next one, and when it is told to by whom it waits for.
-spec left_of_somebody() -> {{term(), list()}, {term(), list()}}.
left_of_somebody() ->
    said(fun left_of_somebody/1).

left_of_somebody(State) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    ok = sys:suspend(P),
    {ok, _} = State:suspend(#{?MODULE => true}, 1000),
    _ = State:resume(State:suspend_kept(#{?MODULE => true})),
    Behind = told(P, 300),
    ok = sys:resume(P),
    {Behind, told(P, 2000)}.

%% A supervisor does not answer, whose children are asked for first: whether one
%% that is not busy can be suspended within so many milliseconds.
-spec suspended_within(pos_integer()) -> {ok | {error, term()}, {term(), list()}}.
suspended_within(Ms) ->
    said(fun(State) -> suspended_within(State, Ms) end).

suspended_within(State, Ms) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    ok = sys:suspend(kernel_safe_sup),
    Said = State:suspend(#{?MODULE => true}, Ms),
    ok = sys:resume(kernel_safe_sup),
    Went =
        case Said of
            {ok, Held} ->
                _ = State:resume(Held),
                ok;
            _ ->
                Said
        end,
    {Went, told(P, 2000)}.

%% As an agent leaves it that ends behind the load.
leave(P, Mark) ->
    ok = sys:suspend(P),
    _ = sys:replace_state(P, fun(State) ->
        _ = put({'$nzd_kept', state}, Mark),
        State
    end),
    ok.

of_other_code(Module, State) ->
    {State, [{Module, {<<"another">>, [{vsn, [7]}]}}]}.

%% Each code_change of it counts one more.
machine(Module) ->
    Lines = [
        io_lib:format("-module(~p).", [Module]),
        "-export([init/1, callback_mode/0, handle_event/4, code_change/4]).",
        "init(N) -> {ok, state, N}.",
        "callback_mode() -> handle_event_function.",
        "handle_event({call, From}, what, _, N) ->"
        "    {keep_state_and_data, [{reply, From, {runs, N}}]}.",
        "code_change(_, State, N, _) -> {ok, State, N + 1}."
    ],
    {ok, Module, Code} = compile:forms([form(L) || L <- Lines]),
    {module, Module} = code:load_binary(Module, "", Code),
    Module.

form(Line) ->
    {ok, Tokens, _} = erl_scan:string(lists:flatten(Line)),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

%% It was sent so many messages.
until_asked(P, Count) ->
    case process_info(P, message_queue_len) of
        {message_queue_len, Length} when Length >= Count ->
            ok;
        _ ->
            timer:sleep(1),
            until_asked(P, Count)
    end.

told(P, Limit) ->
    Said =
        try
            gen_server:call(P, what, Limit)
        catch
            exit:{timeout, _} -> suspended
        end,
    Marks = marks(P),
    _ = [exit(P, kill) || Said =:= runs],
    {Said, Marks}.

marks(P) ->
    {dictionary, Dictionary} = process_info(P, dictionary),
    [K || {{'$nzd_kept', _} = K, _} <- Dictionary].

%% config_change/3 is to be called, and application_controller does not say of
%% whom: what comes of it within the limit.
-spec tell_while_busy(pos_integer()) -> term().
tell_while_busy(Limit) ->
    ok = sys:suspend(application_controller),
    try
        (agent("env")):tell([{kernel, nzd_test, absent, {value, 1}, false}], Limit)
    after
        ok = sys:resume(application_controller)
    end.

agent(Room) ->
    [Module] = [
        A
     || {A, _} <- code:all_loaded(),
        lists:prefix("nzd_agent_", atom_to_list(A)),
        lists:suffix("_" ++ Room, atom_to_list(A))
    ],
    Module.

init(State) -> {ok, State}.

handle_call(what, _From, State) -> {reply, runs, State}.

handle_cast(_, State) -> {noreply, State}.

code_change(_Vsn, State, _Extra) -> {ok, State}.
