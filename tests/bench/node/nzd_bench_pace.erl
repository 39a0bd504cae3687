%% SPDX-License-Identifier: Apache-2.0
%% The clock of the requests: a thread beside the schedulers sends each client
%% its requests at their time, whether the node keeps up or not, and done/2
%% counts. See nzd_bench_pace.c.
-module(nzd_bench_pace).

-export([start/2, replace/2, open/0, close/0, done/2, stop/0]).
-on_load(load/0).

load() ->
    erlang:load_nif(filename:join(os:getenv("NZD_BENCH_BEAM"), "nzd_bench_pace"), 0).

%% Each of Clients gets {request, At}, PerSecond of them together.
-spec start([pid()], pos_integer()) -> ok.
start(_Clients, _PerSecond) ->
    erlang:nif_error(not_loaded).

%% The client in place of one that is dead; the first is 0.
-spec replace(non_neg_integer(), pid()) -> ok.
replace(_Slot, _Client) ->
    erlang:nif_error(not_loaded).

%% Requests of which `At` lies between these two count.
-spec open() -> ok.
open() ->
    erlang:nif_error(not_loaded).

%% {Sent, Whole, Mixed, Failed, Undef, LongestGap, Median, P999, Longest}; the
%% last four in nanoseconds. Waits up to a second for the last answers.
-spec close() -> tuple().
close() ->
    erlang:nif_error(not_loaded).

%% 0: a whole answer, 1: of two versions, 2: failed, 3: undef.
-spec done(integer(), 0..3) -> ok.
done(_At, _Kind) ->
    erlang:nif_error(not_loaded).

-spec stop() -> ok.
stop() ->
    erlang:nif_error(not_loaded).
