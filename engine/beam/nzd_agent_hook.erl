%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: a hook, in a process of its own, and what it prints.
-module(nzd_agent_hook).

-include("nzd_agent.hrl").

-export([start_hook/4, stop_hook/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([hook_init/4, io_init/1, run_hook/4]).

-define(OUTPUT_MAX, 8192).

-spec start_hook(pid(), term(), tuple(), #state{}) -> #state{}.
start_hook(From, Ref, Call, State) ->
    #state{} = stop_hook(State),
    State#state{hook = spawn(?MODULE, hook_init, [self(), From, Ref, Call])}.

-spec stop_hook(#state{}) -> #state{}.
stop_hook(#state{hook = none} = State) ->
    State;
stop_hook(#state{hook = Pid} = State) ->
    Ref = monitor(process, Pid),
    Pid ! {stop_hook, self()},
    receive
        {'DOWN', Ref, process, Pid, _} -> State#state{hook = none}
    end.

-spec hook_init(pid(), pid(), term(), tuple()) -> ok.
hook_init(Agent, From, Ref, {M, F, Args, Timeout}) ->
    AgentRef = monitor(process, Agent),
    nzd_agent:reply(From, Ref, call(M, F, Args, Timeout, {Agent, AgentRef})),
    ok.

call(M, F, Args, Timeout, {Agent, AgentRef}) ->
    Io = spawn(?MODULE, io_init, [self()]),
    {Pid, Ref} = spawn_monitor(?MODULE, run_hook, [Io, M, F, Args]),
    Result =
        receive
            {'DOWN', Ref, process, Pid, {hook, Value}} ->
                value(Value);
            {'DOWN', Ref, process, Pid, Reason} ->
                {failed, nzd_agent_text:printed({exit, Reason})};
            {stop_hook, Agent} ->
                end_hook(Pid, Ref);
            {'DOWN', AgentRef, process, Agent, _} ->
                end_hook(Pid, Ref)
        after Timeout ->
            end_hook(Pid, Ref)
        end,
    Io ! {stop, self()},
    Output =
        receive
            {Io, Text} -> Text
        after 1000 -> <<>>
        end,
    {called, Result, Output}.

end_hook(Pid, Ref) ->
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> timeout
    after 1000 ->
        demonitor(Ref, [flush]),
        timeout
    end.

value({value, ok}) -> {passed, <<"ok">>};
value({value, true}) -> {passed, <<"true">>};
value({value, Other}) -> {failed, nzd_agent_text:printed(Other)};
value({raised, Text}) -> {failed, Text}.

-spec run_hook(pid(), module(), atom(), [term()]) -> no_return().
run_hook(Io, M, F, Args) ->
    group_leader(Io, self()),
    Value =
        try
            {value, apply(M, F, [binary_to_term(A) || A <- Args])}
        catch
            Class:Reason:Stack ->
                Short = [setelement(4, S, []) || S <- lists:sublist(Stack, 3), tuple_size(S) =:= 4],
                {raised, nzd_agent_text:printed({Class, Reason, Short})}
        end,
    exit({hook, Value}).

%% What a hook prints is kept, up to a bound.
-spec io_init(pid()) -> ok.
io_init(Owner) ->
    monitor(process, Owner),
    io_loop(Owner, []).

io_loop(Owner, Output) ->
    receive
        {io_request, From, ReplyAs, Request} ->
            {Reply, Text} = io_put(Request),
            From ! {io_reply, ReplyAs, Reply},
            case iolist_size(Output) of
                N when N < ?OUTPUT_MAX -> io_loop(Owner, [Output, Text]);
                _ -> io_loop(Owner, Output)
            end;
        {stop, Owner} ->
            All = iolist_to_binary(Output),
            Owner ! {self(), binary:part(All, 0, min(?OUTPUT_MAX, byte_size(All)))},
            ok;
        {'DOWN', _, process, Owner, _} ->
            ok;
        _ ->
            io_loop(Owner, Output)
    end.

io_put({put_chars, Encoding, Chars}) ->
    {ok, io_text(Chars, Encoding)};
io_put({put_chars, Encoding, M, F, Args}) ->
    {ok,
        io_text(
            try
                apply(M, F, Args)
            catch
                _:_ -> []
            end,
            Encoding
        )};
io_put(_Other) ->
    {{error, enotsup}, <<>>}.

io_text(Chars, Encoding) ->
    case unicode:characters_to_binary(Chars, Encoding, utf8) of
        Bin when is_binary(Bin) -> Bin;
        _ -> <<>>
    end.
