%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: its guard, which keeps what an undo needs, and starts the server
%% again, with it, when the server dies: the first time at once, one that dies
%% again soon ever more slowly. A server that waits has its name, and reads
%% behind the wait what was sent to it: nobody starts another one meanwhile.
-module(nzd_agent_guard).

-include("nzd_agent.hrl").

-export([save/1, start/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([init/2, adopt/2]).

%% Milliseconds that a server which died before it had run for ?STEADY waits, if
%% it is not the first; each further one twice as long.
-define(PAUSE, 100).
-define(PAUSE_MAX, 5000).
-define(STEADY, 10000).

-spec start(pid()) -> {ok, pid()} | {error, term()}.
start(Client) ->
    start(Client, {[], [], []}).

start(Client, Chores) ->
    case whereis(?SERVER) of
        undefined ->
            Guard = spawn(?MODULE, init, [self(), Chores]),
            receive
                {Guard, Server} -> attach(Server, Client)
            after 5000 -> {error, {busy, <<"the agent did not start">>}}
            end;
        Server ->
            attach(Server, Client)
    end.

%% An agent of another nzd hands over what it had left to do.
attach(Server, Client) ->
    Ref = monitor(process, Server),
    Server ! {attach, self(), Ref, Client, nzd_agent},
    receive
        {Ref, ok} ->
            demonitor(Ref, [flush]),
            {ok, Server};
        {Ref, {error, Why}} ->
            demonitor(Ref, [flush]),
            {error, {busy, Why}};
        {Ref, {replace, Chores}} ->
            receive
                {'DOWN', Ref, process, Server, _} -> start(Client, Chores)
            end;
        {'DOWN', Ref, process, Server, _} ->
            timer:sleep(20),
            start(Client)
    end.

-spec init(pid(), tuple()) -> no_return().
init(Starter, Chores) ->
    spawn_server(Starter, {new, Chores}, none).

%% The server has lost its guard.
-spec adopt(pid(), #state{}) -> no_return().
adopt(Server, Saved) ->
    guard_loop(Server, monitor(process, Server), Saved, begun(none)).

%% Pause is `none` of one that nothing has died before.
spawn_server(Starter, Saved, Pause) ->
    {Server, Ref} = spawn_monitor(nzd_agent, server_init, [self(), Saved, milliseconds(Pause)]),
    receive
        {Server, registered} ->
            _ = [Starter ! {self(), Server} || is_pid(Starter)],
            guard_loop(Server, Ref, Saved, begun(Pause));
        {'DOWN', Ref, process, Server, _} ->
            %% Another agent was faster.
            _ = [Starter ! {self(), whereis(?SERVER)} || is_pid(Starter)],
            exit(normal)
    end.

milliseconds(none) -> 0;
milliseconds(Pause) -> Pause.

begun(Pause) ->
    {Pause, nzd_agent_text:now_ms() + milliseconds(Pause)}.

guard_loop(Server, Ref, Saved, Begun) ->
    receive
        {save, Server, State} ->
            Server ! {saved, self()},
            guard_loop(Server, Ref, State, Begun);
        {'DOWN', Ref, process, Server, normal} ->
            exit(normal);
        {'DOWN', Ref, process, Server, _} ->
            spawn_server(none, Saved, pause(Begun))
    end.

pause({Pause, Begun}) ->
    case nzd_agent_text:now_ms() - Begun >= ?STEADY of
        true -> 0;
        false -> longer(Pause)
    end.

longer(none) -> 0;
longer(0) -> ?PAUSE;
longer(Pause) -> min(2 * Pause, ?PAUSE_MAX).

%% The guard must hold it before the act that needs it begins.
-spec save(#state{}) -> #state{}.
save(#state{guard = Guard} = State) ->
    Ref = monitor(process, Guard),
    Guard ! {save, self(), State},
    receive
        {saved, Guard} ->
            demonitor(Ref, [flush]),
            State;
        {'DOWN', Ref, process, Guard, _} ->
            save(State#state{guard = spawn(?MODULE, adopt, [self(), State])})
    end.
