%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: what it does while nobody speaks for the transaction, and at a
%% deadline, whoever speaks. nzd_agent has which phase means what.
-module(nzd_agent_alone).

-include("nzd_agent.hrl").

-export([expire/1, left/1, no_deadline/1, orphaned/1, recall/1, recall_ended/1]).
-export([restart_alone/1, start_timer/1, unwatched/1]).

%% The link is lost and nobody speaks for the transaction.
-spec orphaned(#state{}) -> #state{}.
orphaned(#state{phase = open} = State) ->
    nzd_agent_guard:save(nzd_agent_switch:start_purger(nzd_agent_act:reset(nzd_agent_hook:stop_hook(State))));
orphaned(#state{phase = switched} = State) ->
    case nzd_agent_live:undo(nzd_agent_hook:stop_hook(State)) of
        {{ok, _, _}, State1} ->
            nzd_agent_guard:save(State1);
        {_, State1} ->
            erlang:send_after(1000, self(), retry_undo),
            State1
    end;
orphaned(State) ->
    recall(State#state{recall_wait = ?RECALL_WAIT}).

%% Has the transaction settled by a program outside, whose journal says how.
-spec recall(#state{}) -> #state{}.
recall(#state{recalled = none, recall = {_, _}} = State) ->
    case waits_for_word(State) of
        true -> run_recall(State);
        false -> State
    end;
recall(State) ->
    State.

waits_for_word(#state{phase = trial, begun = Begun}) -> not Begun;
waits_for_word(#state{phase = Phase}) -> Phase =:= keeping orelse Phase =:= expired.

run_recall(#state{recall = {Words, Env}} = State) ->
    [Program | Arguments] = [nzd_agent_text:native(W) || W <- Words],
    Options = [
        {args, Arguments},
        {env, [{nzd_agent_text:native(Name), nzd_agent_text:native(Value)} || {Name, Value} <- Env]},
        {cd, "/"},
        exit_status,
        stderr_to_stdout,
        hide
    ],
    try
        State#state{recalled = open_port({spawn_executable, Program}, Options)}
    catch
        error:_ -> recall_ended(State)
    end.

%% Whether it could or not is seen by who speaks now.
-spec recall_ended(#state{}) -> #state{}.
recall_ended(#state{recall_wait = Wait} = State) ->
    erlang:send_after(Wait, self(), retry_recall),
    State#state{recalled = none, recall_wait = min(2 * Wait, ?RECALL_WAIT_MAX)}.

-spec start_timer(#state{}) -> #state{}.
start_timer(#state{phase = expired, back = true} = State) ->
    State#state{timer = erlang:start_timer(?ALONE, self(), restart)};
start_timer(#state{deadline = none} = State) ->
    State;
start_timer(#state{deadline = Deadline} = State) ->
    State#state{timer = erlang:start_timer(Deadline, self(), deadline, [{abs, true}])}.

%% Its message may be on the way: nobody waits for that reference any more.
-spec no_deadline(#state{}) -> #state{}.
no_deadline(#state{timer = none} = State) ->
    State#state{deadline = none};
no_deadline(#state{timer = Timer} = State) ->
    _ = erlang:cancel_timer(Timer),
    State#state{deadline = none, timer = none}.

%% Milliseconds; 0 as soon as the old code may come back.
-spec left(#state{}) -> non_neg_integer().
left(#state{deadline = none}) -> 0;
left(#state{deadline = Deadline}) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% Nobody has confirmed it. Blocked, it is tried again, and stays over.
-spec expire(#state{}) -> #state{}.
expire(#state{phase = trial, back = Back} = State) when is_boolean(Back) ->
    Stopped = no_deadline(nzd_agent_hook:stop_hook(State)),
    spoken_for(start_timer(nzd_agent_guard:save(Stopped#state{phase = expired})));
expire(#state{phase = trial} = State) ->
    case nzd_agent_live:undo(nzd_agent_hook:stop_hook(State)) of
        {{ok, _, _}, Undone} ->
            spoken_for(nzd_agent_guard:save((no_deadline(Undone))#state{phase = expired}));
        {_, Blocked} ->
            %% An undo that is half done calls it switched; it stays over.
            Timer = erlang:start_timer(1000, self(), deadline),
            Blocked#state{phase = trial, timer = Timer}
    end.

spoken_for(#state{client = none} = State) -> orphaned(State);
spoken_for(State) -> State.

%% Nobody has come who could write it down. The journal has the trial, and takes
%% any restart for its end.
-spec restart_alone(#state{}) -> #state{}.
restart_alone(#state{phase = expired, client = none} = State) ->
    init:restart(),
    State#state{timer = none};
restart_alone(State) ->
    start_timer(State).

-spec unwatched(#state{}) -> #state{}.
unwatched(State) ->
    State#state{watch = nzd_agent_probe:stop(State#state.watch)}.
