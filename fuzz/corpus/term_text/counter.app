{application,counter,
 [{description,"A counter"},
  {vsn,"0.1.0"},
  {modules,[counter_app,counter_srv,counter_sup]},
  {registered,[]},
  {applications,[kernel,stdlib]},
  {mod,{counter_app,[]}},
  {env,[]}]}.
