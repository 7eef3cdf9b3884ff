package config

import (
	"net/netip"
	"reflect"
	"time"

	"meridian"
)

// A File is what one meridian.yaml says, with defaults filled in and paths
// made absolute.
//
// The tags drive everything that reads or shows the file: key is the name in
// YAML, list its long form (a list with one element), doc the sentence that
// editors show, want what an error says was expected.
type File struct {
	Path string `key:"-"` // of the file itself, absolute

	Domain                  string                           `key:"domain" list:"domains" doc:"The one hostname of the API." want:"a hostname such as api.example.test"`
	Regions                 []Region                         `key:"regions" doc:"Where the API runs. One region is the primary: its PostgreSQL takes the writes."`
	Edges                   []meridian.Region                `key:"edges" doc:"The places where an edge stands: regions of this file, or AWS region codes. Default: every region."`
	Witness                 meridian.Region                  `key:"witness" doc:"A place without a region whose node breaks the tie of an even number of regions, on a lost primary and, beside two, in the store: they then fail over by themselves. It has no data. Default: none." want:"an AWS region code"`
	Shield                  meridian.Region                  `key:"shield" doc:"The place of the edge through which the others fetch what may be cached: the misses of all become one request. Default: each edge asks a region itself." want:"the place of an edge such as us-east-1"`
	ProxyProtocol           *ProxyProtocol                   `key:"proxyProtocol" doc:"Load balancers in front of the edges, which say each client's address. Default: none."`
	API                     string                           `key:"api" list:"apis" doc:"The OpenAPI 3.0 or 3.1 file of the API." want:"the path of an OpenAPI file"`
	CORS                    *CORS                            `key:"cors" doc:"Cross-origin rules. Preflights are answered before authentication. Default: none."`
	Authorizers             map[string]Authorizer            `key:"authorizers" doc:"JWT authorizers, by the name of the security scheme in the OpenAPI file."`
	Functions               []Function                       `key:"functions" doc:"The functions of the API, written for AWS Lambda."`
	EdgeFunctions           map[string]EdgeFunction          `key:"edgeFunctions" doc:"JavaScript that edges run, written for CloudFront Functions or Lambda@Edge, by the names that behaviors use."`
	KeyValueStores          map[string]KeyValueStore         `key:"keyValueStores" doc:"What edge functions read with cf.kvs(), by the names that they use."`
	DynamicOrigins          DynamicOrigins                   `key:"dynamicOrigins" doc:"Where edge functions may send requests, beside the public Internet and the origins of this file."`
	Secrets                 map[string]Secret                `key:"secrets" doc:"Values that functions share and the file does not show."`
	Database                *Database                        `key:"database" list:"databases" doc:"The PostgreSQL database of the functions. Without it, no node has PostgreSQL."`
	Tokens                  Tokens                           `key:"tokens" doc:"How consistency tokens travel to clients and back."`
	Limits                  Limits                           `key:"limits" doc:"What one request may cost."`
	HTTP3                   string                           `key:"http3" default:"on" doc:"Whether edges speak HTTP/3, over UDP at the port of HTTPS, and announce it." want:"on or off"`
	Behaviors               []Behavior                       `key:"behaviors" doc:"What becomes of a request, by its path: tried in order, the first that matches decides. Default: everything goes to the regions."`
	Origins                 map[string]Origin                `key:"origins" doc:"HTTP servers beside the regions that somebody else runs, by the names that behaviors use."`
	CachePolicies           map[string]CachePolicy           `key:"cachePolicies" doc:"What is stored and for how long, by the names that behaviors use, beside CloudFront's managed policies."`
	OriginRequestPolicies   map[string]OriginRequestPolicy   `key:"originRequestPolicies" doc:"What origins are sent of a request, by the names that behaviors use, beside CloudFront's managed policies."`
	ResponseHeadersPolicies map[string]ResponseHeadersPolicy `key:"responseHeadersPolicies" doc:"Which headers viewers get, by the names that behaviors use, beside CloudFront's managed policies."`
	TrustedKeys             map[string]string                `key:"trustedKeys" doc:"Public keys whose holders may sign URLs and cookies: a PEM file each, by its Key-Pair-Id." want:"a PEM file with a public key"`
	KeyGroups               map[string][]string              `key:"keyGroups" doc:"Groups of trustedKeys, by the names that behaviors use." want:"a name under trustedKeys:"`
	RateLimits              map[string]RateLimit             `key:"rateLimits" doc:"How often a client may ask, in the whole world, by the names that guard and behaviors use."`
	Guard                   Guard                            `key:"guard" doc:"Who may come in at all, before any behavior is asked."`
	Geo                     string                           `key:"geo" doc:"A database of where addresses are, in MaxMind's format (.mmdb), for CloudFront-Viewer-Country and its like. A newer file is taken without a restart." want:"an .mmdb file"`
	AccessLog               *AccessLog                       `key:"accessLog" doc:"One line for each request, written by each edge. Default: none, beside the node's own log."`
	DNS                     DNS                              `key:"dns" doc:"The zone of the domain."`
	TLS                     TLS                              `key:"tls" doc:"What clients of the edges must speak."`
	Certificates            []Certificate                    `key:"certificates" doc:"Certificates for the domain: PEM files, and one acme that gets and renews them. Default in an up world: the world's own CA."`
	Nodes                   []Node                           `key:"nodes" doc:"The machines of a production world. An up world derives them."`
	PKI                     string                           `key:"pki" doc:"The folder with the backbone's certificates (meridian pki). An up world makes its own."`
	Clients                 []Clients                        `key:"clients" doc:"Networks whose place is known, by place: DNS answers them without measuring."`

	pos places
}

// A Region is one place where the API runs.
type Region struct {
	Name    meridian.Region `key:"-"`
	Primary bool            `key:"primary" doc:"This region's PostgreSQL takes the writes at the first start. Exactly one region says so."`
	Lat     *float64        `key:"lat" doc:"Latitude in degrees, for a name that is no AWS region code." want:"degrees between -90 and 90"`
	Lon     *float64        `key:"lon" doc:"Longitude in degrees, for a name that is no AWS region code." want:"degrees between -180 and 180"`
	// Standbys is left out of a roster's digest where it is 0, as before there were any.
	Standbys int `key:"standbys" json:",omitempty" doc:"Further PostgreSQL standbys of this region, beside its own: they carry reads. In production each is a node with the role standby." want:"a number from 0 to 8"`
	pos      position
}

// CORS is API Gateway's corsConfiguration.
type CORS struct {
	AllowOrigins     []string      `key:"allowOrigins" doc:"Origins, or *."`
	AllowMethods     []string      `key:"allowMethods" doc:"Methods, or *."`
	AllowHeaders     []string      `key:"allowHeaders" doc:"Request headers, or *."`
	ExposeHeaders    []string      `key:"exposeHeaders" doc:"Response headers that scripts may read."`
	AllowCredentials bool          `key:"allowCredentials" doc:"Whether cookies may be sent."`
	MaxAge           time.Duration `key:"maxAge" doc:"How long a browser may keep a preflight's answer."`
}

// An Authorizer verifies JSON Web Tokens (RFC 7519).
type Authorizer struct {
	Issuer     string   `key:"issuer" doc:"The iss claim that a token must have."`
	Audience   []string `key:"audience" doc:"A token's aud or client_id must be one of these."`
	Algorithms []string `key:"algorithms" doc:"Default: every one that the keys allow of RS256, ES256, EdDSA, HS256."`
	Keys       string   `key:"keys" doc:"A file: PEM public keys, a JWKS, or for HS256 the secret."`
	pos        position
}

// A Function is one AWS Lambda function.
type Function struct {
	Name        string           `key:"-"`
	Go          string           `key:"go" doc:"A folder with a Go main package; built once, before any node starts."`
	Binary      string           `key:"binary" doc:"A ready executable that speaks the Lambda Runtime API."`
	Zip         string           `key:"zip" doc:"A Lambda deployment package with a bootstrap file."`
	Timeout     time.Duration    `key:"timeout" default:"10s" doc:"How long one invocation may take." want:"a duration up to 15m such as 10s"`
	Memory      Size             `key:"memory" default:"128MiB" doc:"Memory of one process." want:"a size such as 128MiB"`
	Concurrency int              `key:"concurrency" default:"1" doc:"Invocations that one process takes at once (AWS_LAMBDA_MAX_CONCURRENCY)." want:"a number from 1 to 1600"`
	Min         int              `key:"min" default:"1" doc:"Processes kept warm in each region." want:"a number from 0"`
	Max         int              `key:"max" default:"16" doc:"Processes at most in each region." want:"a number from 1"`
	Idle        time.Duration    `key:"idle" default:"5m" doc:"How long a process above the minimum may be idle."`
	Env         map[string]Value `key:"env" doc:"Environment variables: a text, {file: PATH} or {secret: NAME}."`
	pos         position
}

// A Value is what an environment variable is set to.
type Value struct {
	Text   string
	File   string
	Secret string
	pos    position
}

// A Secret is a value that the file does not show.
type Secret struct {
	File     string `key:"file" doc:"Read from this file."`
	Generate int    `key:"generate" doc:"So many random bytes, in hexadecimal, made once by meridian up or meridian pki." want:"a number of bytes from 16 to 1024"`
	pos      position
}

// A Database is the functions' PostgreSQL.
type Database struct {
	Name           string              `key:"name" doc:"The database and the role that owns it." want:"a lower-case name such as conduit"`
	Migrations     string              `key:"migrations" doc:"A folder of .sql files, applied once, in the order of their names, on the primary."`
	Consistency    string              `key:"consistency" default:"session" doc:"What reads are promised, until a connection or a statement says something else: with session, nothing older than what its caller has written or seen." want:"eventual, bounded(250ms), session, global or strong"`
	OnUnreachable  string              `key:"onUnreachable" default:"error" doc:"What becomes of a read whose promise no region can keep: an error, or an answer from the replica that says it is stale." want:"error or stale"`
	Durability     meridian.Durability `key:"durability" default:"async" doc:"When a commit is acknowledged, from the first start until meridian durability says something else: with async, once it is on the primary's disk." want:"async, quorum, {sync: REGION} or {rpo: TIME}"`
	Failover       Failover            `key:"failover" doc:"When a lost primary is replaced."`
	Password       string              `key:"password" doc:"A file with the password of the role, for psql and other clients of the proxy. An up world makes one."`
	Connections    int                 `key:"connections" default:"60" doc:"Server connections that one region's proxy opens at most." want:"a number from 4 to 1000"`
	QueueTimeout   time.Duration       `key:"queueTimeout" default:"10s" doc:"How long a client waits for a server connection."`
	LendAfter      time.Duration       `key:"lendAfter" default:"1s" doc:"How long a session is idle before it lends its server connection to a client that waits for one; 0s: it never does."`
	Pooling        string              `key:"pooling" default:"session" doc:"How long a client keeps a server connection on the primary: for its session, or for one transaction." want:"session or transaction"`
	LocalFunctions []string            `key:"localFunctions" doc:"User-defined volatile functions that only read: they may run on a standby." want:"names of functions"`
	Servers        map[string]Server   `key:"servers" doc:"PostgreSQL servers that somebody else runs, by region: for every region, or none. Meridian follows whoever is primary there. Default: it runs its own."`
	Backup         *Backup             `key:"backup" doc:"Base backups, and every change of the log in between. Default: none."`
	Idempotency    Idempotency         `key:"idempotency" doc:"What an Idempotency-Key is worth."`
	MaxConnections int                 `key:"maxConnections" default:"120" doc:"PostgreSQL's max_connections, the same in all regions." want:"a number from 20 to 10000"`
	pos            position
}

// Failover says when a lost primary is replaced without a person.
type Failover struct {
	MaxLoss time.Duration `key:"maxLoss" default:"10s" doc:"A standby that was further behind is not promoted by itself: a person decides. It matters where durability is async or rpo." want:"a duration up to 1h such as 10s"`
}

// Tokens are the carriers of consistency tokens.
type Tokens struct {
	Cookie bool `key:"cookie" default:"true" doc:"In a cookie, which browsers keep by themselves."`
	Header bool `key:"header" default:"true" doc:"In the header Meridian-Consistency, which cross-origin scripts may read."`
}

// A Server is a PostgreSQL that somebody else runs.
type Server struct {
	DSN string `key:"dsn" doc:"A file with its DSN: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full." want:"a file with a DSN"`
	pos position
}

// A Backup says where copies of the database go.
type Backup struct {
	To          string        `key:"to" doc:"A folder, or s3://BUCKET/PREFIX of an S3-compatible store. All regions write there." want:"a folder such as ./backups, or s3://bucket/prefix"`
	Endpoint    string        `key:"endpoint" doc:"The URL of the S3-compatible store. Default: AWS's." want:"a URL such as https://s3.example.test"`
	Credentials string        `key:"credentials" doc:"A file as ~/.aws/credentials is. Default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the node, or its machine's role."`
	Every       time.Duration `key:"every" default:"24h" doc:"Between base backups." want:"a duration from 1m, such as 24h"`
	Keep        int           `key:"keep" default:"7" doc:"Base backups that stay, with the log that comes after them." want:"a number from 1"`
	pos         position
}

// Limits bound one request.
type Limits struct {
	Header  Size          `key:"header" default:"32KiB" doc:"Request line and headers." want:"a size from 1KiB to 1MiB"`
	Body    Size          `key:"body" default:"10MB" doc:"Request body."`
	Timeout time.Duration `key:"timeout" default:"30s" want:"a duration up to 15m such as 30s" doc:"From the edge's first byte to the region's first byte."`
	Hedges  int           `key:"hedges" default:"2" doc:"Late reads that an edge sends to a second region, in percent of all requests at most; 0 sends none." want:"a number from 0 to 10"`
	Cache   Size          `key:"cache" default:"256MiB" doc:"Memory of each edge's cache." want:"a size from 1MiB to 1TiB"`
	// CacheDisk is beside Cache and not below it: cache had a size before there was a disk.
	CacheDisk Size `key:"cacheDisk" default:"0" doc:"Disk of each edge's cache, in its node's state folder: what memory has no room for goes there, and outlives a restart. 0: none." want:"0, or a size from 16MiB to 64TiB"`

	Connections      int           `key:"connections" doc:"Connections of clients that an edge has open at once. Default: 200,000, or what the node may have open less a tenth." want:"a number from 1 to 1000000"`
	MinimumRate      Size          `key:"minimumRate" default:"500B" doc:"Bytes a second that a client must send of a body, or take of a response, while its edge waits for that. 0: it may be as slow as it likes." want:"0, or a size up to 1MiB such as 500B"`
	MinimumRateGrace time.Duration `key:"minimumRateGrace" default:"20s" doc:"For how long a client may owe them." want:"a duration from 1s to 1h such as 20s"`

	Drain time.Duration `key:"drain" doc:"How long a node that stops lets requests end. Default: 8s at an edge, 3s at a gateway. An up world ends as a whole within 8s." want:"a duration from 1s to 1h such as 30s"`

	ConnectionsPerClient int `key:"connectionsPerClient" doc:"Of one address, or of one /64 of IPv6. Default: 4,096, and no bound for clients on the edge's own machine." want:"a number from 1 to 1000000"`
}

// DNS is the zone of the domain.
type DNS struct {
	TTL time.Duration `key:"ttl" default:"5s" doc:"Of answers that are steered." want:"a duration from 1s to 1h"`
}

// A Role is a part that a node plays.
type Role string

// The roles.
const (
	RoleRegion  Role = "region"  // gateway, functions, database, store
	RoleEdge    Role = "edge"    // the door
	RoleControl Role = "control" // DNS, admin API and console
	RoleWitness Role = "witness" // a vote in the store and on a lost primary, no data
	RoleStandby Role = "standby" // a further PostgreSQL of its region, which carries reads
)

// A Node is one process of a production world.
type Node struct {
	Name     string          `key:"name" doc:"Unique. Its backbone certificate bears it."`
	Region   meridian.Region `key:"region" doc:"The place where it stands."`
	Address  netip.Addr      `key:"address" doc:"The IP address on which it listens." want:"an IP address"`
	Backbone netip.AddrPort  `key:"backbone" doc:"Where other nodes reach it. Default: its address, port 7443." want:"an IP address and a port"`
	Roles    []Role          `key:"roles" doc:"Any of region, edge, control, witness; or standby, alone." want:"region, edge, control, witness or standby"`
	Ports    Ports           `key:"ports" doc:"Other ports than the usual ones."`
	pos      position
}

// Ports of one node.
type Ports struct {
	HTTPS    uint16 `key:"https" default:"8443" doc:"The edge."`
	HTTP     uint16 `key:"http" default:"8080" doc:"The edge; redirects to HTTPS."`
	Gateway  uint16 `key:"gateway" default:"9443" doc:"The region's gateway, for clients that call it directly."`
	Postgres uint16 `key:"postgres" default:"6432" doc:"The database proxy."`
	DNS      uint16 `key:"dns" default:"8053" doc:"The zone, over UDP and TCP."`
	Admin    uint16 `key:"admin" default:"8090" doc:"The admin API and the console."`
}

// Clients says where the callers of some networks are.
type Clients struct {
	Place    meridian.Region
	Prefixes []netip.Prefix
	pos      position
}

// DefaultPorts returns the usual ports.
func DefaultPorts() (p Ports) {
	defaults(reflect.ValueOf(&p).Elem())
	return p
}
