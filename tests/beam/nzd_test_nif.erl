%% SPDX-License-Identifier: Apache-2.0
%% A module of the application counter whose code lies in its priv folder.
-module(nzd_test_nif).

-export([value/0]).
-on_load(load/0).

load() ->
    erlang:load_nif(filename:join(code:priv_dir(counter), "lib/nzd_test_nif"), 0).

%% 42, where the library was loaded.
value() ->
    erlang:nif_error(not_loaded).
