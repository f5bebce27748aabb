package manual

// What the pages say besides --help. Paths are those of the Debian package.
const (
	about = `windlass follows a deploy repo, a git repository with a file for each fleet of servers, and brings every fleet to what its file says:
one node at a time leaves its load balancers, is configured, proves that it serves the wanted release, and goes back. What a commit
changes is deployed, and what a revert brings back is rolled back. A release that fails stops at the first node.

The agent is windlass-run(1). The other commands look, commit to the deploy repo, or check it. A fleet file is described in windlass-fleet(5).`

	eachOption = `Each option can be given as WINDLASS_ and its name in capitals, with underscores for hyphens, and by its name in the file of --config.
An option goes over the environment, which goes over the file.`

	anyStatus = `0 where all went well. 1 where it did not: one line on standard error says what is wrong and what to do.`
)

var files = [][2]string{
	{"/etc/windlass/windlass.yaml", "What the service windlass reads with --config: options of windlass-run(1) by their names. It does not start without."},
	{"/etc/windlass/environment", "Environment of the service, as AWS_REGION."},
	{"/var/lib/windlass", "The agent's state: its name in claims, the last accepted commit, the history of rollouts. Losing it loses no rollout."},
	{"/usr/share/doc/windlass/examples", "Examples of these files."},
}

var environment = [][2]string{
	{"WINDLASS_...", "Options of the commands, as WINDLASS_REPO for --repo."},
	{"AWS_REGION, AWS_PROFILE, ...", "Settings of AWS's SDK, for fleets that name instances or load balancers."},
	{"SSH_AUTH_SOCK", "The ssh agent that logs in where no key file is named."},
}
