package main

const description = "One hostname for an HTTP API that runs in many regions: DNS, edges, gateways, functions and PostgreSQL in one binary."

// commands is the command line. A command exists when it works.
type commands struct {
	Global

	Up         upCmd         `cmd:"" group:"world" help:"Start the world of FILE on this machine."`
	Down       downCmd       `cmd:"" group:"world" help:"End the world, and every process of it."`
	Status     statusCmd     `cmd:"" group:"world" help:"Show regions, edges, primary, health, lag and endpoints."`
	Trace      traceCmd      `cmd:"" group:"world" help:"Walk one request as a client at a place, and time each hop."`
	Logs       logsCmd       `cmd:"" group:"world" help:"Show what the nodes log."`
	Psql       psqlCmd       `cmd:"" group:"world" help:"Open psql on a region's database proxy."`
	Switchover switchoverCmd `cmd:"" group:"operate" help:"Move the primary to REGION: a pause, no error, nothing lost."`
	Failover   failoverCmd   `cmd:"" group:"operate" help:"Give the writes to REGION without the primary's consent."`
	Durability durabilityCmd `cmd:"" group:"operate" help:"Show when commits are acknowledged, or change it: async, quorum, sync: REGION, rpo: TIME."`
	LostWrites lostWritesCmd `cmd:"" name:"lost-writes" group:"operate" help:"List the transactions that were acknowledged and lost with a primary's region."`
	Backup     backupCmd     `cmd:"" group:"operate" help:"Make a base backup of the database now."`
	Backups    backupsCmd    `cmd:"" group:"operate" help:"List the base backups, and how far the log leads from each."`
	Restore    restoreCmd    `cmd:"" group:"operate" help:"Make the database of FILE from its backups, as it was at a moment; nothing may run there yet."`
	Region     regionCmd     `cmd:"" group:"operate" help:"Let a region join the running world, or take one out."`
	Drain      drainCmd      `cmd:"" group:"operate" help:"Take a region out of steering."`
	Undrain    undrainCmd    `cmd:"" group:"operate" help:"Let a drained region back in."`
	Purge      purgeCmd      `cmd:"" group:"operate" help:"Take responses out of the caches of all edges: by path, prefix or tag."`
	Cert       certCmd       `cmd:"" group:"operate" help:"Add, list, issue and remove the certificates that all edges show."`
	Reload     reloadCmd     `cmd:"" group:"operate" help:"Have all nodes read their file again: what can change while they run does, and no request notices."`
	Rollout    rolloutCmd    `cmd:"" group:"operate" help:"Stage new edge rules for some requests; they are rolled back when they fail more."`
	Restart    restartCmd    `cmd:"" group:"operate" help:"Restart nodes, also into another version: the next process takes over the sockets, and no request is dropped."`
	KVS        kvsCmd        `cmd:"" name:"kvs" group:"operate" help:"Read and change the key-value stores of edge functions, at all edges at once."`
	Keys       keysCmd       `cmd:"" group:"operate" help:"Create, list and revoke API keys, in all regions at once."`
	Sign       signCmd       `cmd:"" group:"operate" help:"Sign a URL, or cookies, that a behavior with signed: lets in."`
	Fault      faultCmd      `cmd:"" group:"operate" help:"Break a part of an up world, and heal it."`
	Check      checkCmd      `cmd:"" group:"file" help:"Validate FILE: every mistake with its line and column."`
	Config     configCmd     `cmd:"" group:"file" help:"Print the commented default file, or its JSON Schema."`
	Serve      serveCmd      `cmd:"" group:"production" help:"Run one node of FILE."`
	BuildCmd   buildCmd      `cmd:"" name:"build" group:"production" help:"Build the functions of FILE into bundles that nodes run."`
	PKI        pkiCmd        `cmd:"" name:"pki" group:"production" help:"Make the certificates by which the nodes of FILE know each other."`
	Version    versionFlag   `help:"Print the version and exit." short:"V"`
}

// Global is what every command that speaks to a world takes: an up world by its
// state folder, a production one by its admin API.
type Global struct {
	State string `help:"Folder of the world's state; default .meridian." default:".meridian" placeholder:"DIR" env:"MERIDIAN_STATE"`
	Admin string `help:"Base URL of a production world's admin API, instead of --state." placeholder:"URL" env:"MERIDIAN_ADMIN"`
	Token string `help:"File with what that admin API wants to see." placeholder:"FILE" type:"path" env:"MERIDIAN_ADMIN_TOKEN"`
}
