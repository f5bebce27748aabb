// Package bench measures how fast windlass is and what it costs: a rolling release beside the shell loop that people write for one
// (rolling.sh), what a node costs in small and in large fleets, what the rate of changes costs, how long rollouts take whose drains end
// early, what channels that hang cost them, an idle pass, planning, memory, the way from a push to the first drain, with a webhook and without, and from a change to its line in a follower, a deploy
// from a clone beside git alone, the size of the binary. `make bench` runs it and prints
// one table; with BEFORE=REVISION (.ci/before) it has a column for what an earlier revision costs.
//
// What belongs here is measuring on real parts: the windlass binary, real sshd nodes, the sandbox's AWS endpoint, and for fleets of ten
// thousand nodes, and for hours of waiting, the real core behind ports that answer at once or in virtual time. It is all benchmarks, which
// report and never fail for being slow: a machine has bad days, and what is compared is compared side by side in one run. What does not
// belong here is any test.
package bench
