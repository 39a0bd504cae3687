%% SPDX-License-Identifier: Apache-2.0
%%
%% How the node does: what a soak compares before and after. Crashes of
%% processes and ends of supervised children are counted where they are
%% reported, by a handler of logger that is there only while it is watched; the
%% rest is read when it is asked for.
%%
%% The handler runs in whoever logs: it adds to a counter, and sends the agent
%% one message in all, the first thing that was reported.
-module(nzd_agent_probe).

-export([start/0, stop/1, sweep/0, said/2, readings/1]).
-export([log/2, ping/2]).
-export_type([watch/0]).

-define(HANDLER, nzd_agent_probe).
-define(CRASHES, 1).
-define(RESTARTS, 2).
-define(SAID, 3).
-define(PINGS, 3).

-type watch() :: none | {atomics:atomics_ref(), integer(), binary()}.

%% Watched already, it begins anew.
-spec start() -> watch().
start() ->
    _ = logger:remove_handler(?HANDLER),
    Counts = atomics:new(3, []),
    ok = logger:add_handler(?HANDLER, ?MODULE, #{
        level => error,
        filter_default => log,
        config => #{counts => Counts, agent => self()}
    }),
    {Counts, erlang:monotonic_time(microsecond), <<>>}.

-spec stop(watch()) -> none.
stop(none) ->
    none;
stop(_Watch) ->
    _ = logger:remove_handler(?HANDLER),
    none.

%% Takes what an agent that was killed has left.
-spec sweep() -> ok.
sweep() ->
    _ = logger:remove_handler(?HANDLER),
    ok.

%% The handler's one message.
-spec said({said, atomics:atomics_ref(), binary()}, watch()) -> watch().
said({said, Counts, Text}, {Counts, Since, <<>>}) -> {Counts, Since, Text};
said(_Other, Watch) -> Watch.

-spec readings(watch()) -> {map(), watch()}.
readings(none) ->
    {read({none, erlang:monotonic_time(microsecond), <<>>}), none};
readings(Watch) ->
    Read = read(Watch),
    {_, _, Said} = Heard = hear(Watch),
    {Read#{said => Said}, Heard}.

%% What was counted was said before.
hear({Counts, _, <<>>} = Watch) ->
    receive
        {said, Counts, _} = Said -> said(Said, Watch)
    after 0 -> Watch
    end;
hear(Watch) ->
    Watch.

read({Counts, Since, Said}) ->
    Latencies = lists:sort([latency() || _ <- lists:seq(1, ?PINGS)]),
    {Queue, Pid} = longest_queue(),
    #{
        us => erlang:monotonic_time(microsecond) - Since,
        crashes => count(Counts, ?CRASHES),
        restarts => count(Counts, ?RESTARTS),
        said => Said,
        processes => erlang:system_info(process_count),
        memory => erlang:memory(total),
        queue => Queue,
        queue_of => name(Pid),
        run_queue => statistics(total_run_queue_lengths),
        latency_us => lists:nth(?PINGS div 2 + 1, Latencies),
        reports => logger:allow(error, ?MODULE)
    }.

count(none, _) -> 0;
count(Counts, Index) -> atomics:get(Counts, Index).

longest_queue() ->
    lists:foldl(fun longer_queue/2, {0, none}, erlang:processes()).

longer_queue(Pid, {Most, _} = Found) ->
    case process_info(Pid, message_queue_len) of
        {message_queue_len, N} when N > Most, Pid =/= self() -> {N, Pid};
        _ -> Found
    end.

name(none) ->
    <<>>;
name(Pid) ->
    case process_info(Pid, registered_name) of
        {registered_name, Name} -> atom_to_binary(Name);
        _ -> list_to_binary(pid_to_list(Pid))
    end.

%% Microseconds until a process that is started has run.
latency() ->
    Begin = erlang:monotonic_time(microsecond),
    Ref = make_ref(),
    Pid = spawn(?MODULE, ping, [self(), Ref]),
    Monitor = monitor(process, Pid),
    receive
        {Ref, pong} -> demonitor(Monitor, [flush]);
        {'DOWN', Monitor, process, Pid, _} -> true
    end,
    erlang:monotonic_time(microsecond) - Begin.

-spec ping(pid(), reference()) -> term().
ping(From, Ref) ->
    From ! {Ref, pong}.

%%% --- the handler ------------------------------------------------------

-spec log(map(), map()) -> ok.
log(Event, #{config := #{counts := Counts, agent := Agent}}) ->
    case kind(Event) of
        none ->
            ok;
        Kind ->
            %% Said first: whoever reads the count has been told.
            say(atomics:add_get(Counts, ?SAID, 1), Counts, Agent, Event),
            atomics:add(Counts, Kind, 1)
    end.

%% A process that crashes, as proc_lib or the emulator reports it, or as Elixir
%% words it, which may pass on no other report.
kind(#{msg := {report, #{label := {proc_lib, crash}}}}) -> ?CRASHES;
kind(#{msg := {report, #{label := {gen_event, terminate}}}}) -> ?CRASHES;
kind(#{msg := {report, #{label := {_, child_terminated}}}}) -> ?RESTARTS;
kind(#{msg := {report, #{label := {_, start_error}}}}) -> ?RESTARTS;
kind(#{meta := #{error_logger := #{emulator := true}}}) -> ?CRASHES;
kind(#{msg := {string, _}, meta := #{crash_reason := _}}) -> ?CRASHES;
kind(_Event) -> none.

say(1, Counts, Agent, Event) ->
    Agent ! {said, Counts, shown(Event)},
    ok;
say(_Nth, _Counts, _Agent, _Event) ->
    ok.

shown(#{msg := {report, #{label := {proc_lib, crash}, report := [Info | _]}}}) ->
    {_, Reason, _} = proplists:get_value(error_info, Info, {exit, unknown, []}),
    Name =
        case proplists:get_value(registered_name, Info, []) of
            [] -> proplists:get_value(initial_call, Info, unknown);
            Registered -> Registered
        end,
    cut("~w ~0tP: ~0tP", [proplists:get_value(pid, Info, unknown), Name, 8, Reason, 12]);
shown(#{msg := {report, #{label := {_, Label}, report := Report}}}) when is_list(Report) ->
    Child = proplists:get_value(offender, Report, []),
    Id = proplists:get_value(id, Child, proplists:get_value(name, Report, unknown)),
    cut("~w of ~0tP: ~0tP", [Label, Id, 8, proplists:get_value(reason, Report, unknown), 12]);
shown(#{msg := {string, Text}}) ->
    cut("~ts", [Text]);
shown(#{msg := {Format, Args}}) when is_list(Args) ->
    cut(Format, Args);
shown(_Event) ->
    <<>>.

cut(Format, Args) ->
    try unicode:characters_to_binary(io_lib:format(Format, Args, [{chars_limit, 200}])) of
        Text when is_binary(Text) -> string:slice(string:trim(Text), 0, 200);
        _ -> <<>>
    catch
        _:_ -> <<>>
    end.
