// Command ds-build executes a build plan into the store.
package main

import (
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/limits"
	"docksmith/lib/sandbox"
)

const long = `
The plan comes from standard input, as ds-parse writes it. With -f, or when
standard input is a terminal, it is made from a Dockerfile: FILE, else the first
of Docksmithfile, Dockerfile and Containerfile in CONTEXT. CONTEXT is the
directory that COPY and ADD take files from, or "-" for a tar of it on standard
input, where FILE is then looked for first, or for a Dockerfile alone.

The image's descriptor goes to standard output as one line of JSON, what RUN
commands print to standard error.

What is questionable in the Dockerfile is told before the build begins; --check
tells it on standard output and builds nothing.

Exit status: 0 built, 1 failed, 2 wrong usage; that of the command when a RUN
fails, 128+N when signal N ended it. With --check: 0 nothing found, 1 something;
with --ignored: 0 something is ignored, 1 nothing.

    ds-parse Dockerfile | ds-build -t app:v1 .
    ds-build -q -f Dockerfile --build-arg VERSION=2 --target test .
`

// options are the flags as they were given.
type options struct {
	file      string
	tags      []string
	buildArgs []string
	labels    []string
	contexts  []string
	secrets   []string
	ssh       []string
	allow     []string
	target    string
	step      string
	after     string
	stages    []string
	platform  string
	network   string
	isolation string
	compress  string
	iidfile   string
	metadata  string
	writeDeps bool
	depFile   string
	depTarget string
	hosts     []string
	progress  string
	color     string
	rules     string
	check     bool    // the Dockerfile, and build nothing
	recheck   float64 // how much of what hits is done again, if rechecks
	rechecks  bool
	onFail    string
	limits    limits.Flags
	noCache   bool
	paranoid  bool
	dryRun    bool
	deps      bool
	ignored   bool
	jobs      int
	noOverlay bool
	quiet     bool
}

func main() {
	var o options
	cli.Main(&cli.Command{
		Name:  "ds-build",
		Args:  "CONTEXT | --ignored PATH...",
		Short: "Execute a build plan and put the image into the store.",
		Long:  long,
		Flags: o.declare,
		Run:   o.run,
		Other: dockerFlags,
	})
}

func (o *options) declare(f *cli.Flags) {
	f.StringVarP(&o.file, "file", "f", "", "read `FILE`, a Dockerfile, a plan or a directory with a Dockerfile, instead of standard input")
	f.StringArrayVarP(&o.tags, "tag", "t", nil, "give the image the `NAME[:TAG]`; may be repeated")
	f.StringArrayVar(&o.buildArgs, "build-arg", nil, "set a build argument, `NAME=VALUE`; a lone NAME takes the environment's value")
	f.StringArrayVar(&o.contexts, "build-context", nil, "a further context, `NAME=DIRECTORY`, oci-layout://PATH or docker-image://IMAGE; may be repeated")
	f.StringArrayVar(&o.secrets, "secret", nil, "give RUN --mount=type=secret a secret: `id=NAME[,src=FILE|,env=VARIABLE]`; may be repeated")
	f.StringArrayVar(&o.ssh, "ssh", nil, "give RUN --mount=type=ssh an agent: default, or `ID[=SOCKET]`; may be repeated")
	f.StringArrayVar(&o.allow, "allow", nil, "allow steps to ask for `network.host` or security.insecure; may be repeated")
	f.StringVar(&o.target, "target", "", "build `STAGE`, a name or a number, instead of the last")
	f.StringVar(&o.step, "step", "", "execute one step alone, `STAGE.STEP`: the stage's number and the step's; 0 is its FROM")
	f.StringVar(&o.after, "after", "", "with --step: the digest of the image of the step before is in `FILE`")
	f.StringArrayVar(&o.stages, "stage", nil, "with --step: the digest of the image of a finished stage is in a file, `NUMBER=FILE`; may be repeated")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "build nothing: print which steps are in the cache, and why others are not")
	f.BoolVar(&o.deps, "deps", false, "build nothing: print the files that the image depends on, each ended by NUL")
	f.BoolVar(&o.ignored, "ignored", false, "build nothing: print by which rule the ignore file here hides each `PATH`")
	f.BoolVar(&o.noCache, "no-cache", false, "run every step, whatever the cache knows")
	f.BoolVar(&o.paranoid, "paranoid", false, "read and hash every file again, whatever is known of unchanged ones")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "execute at most `N` steps at the same time; default: as many as make's jobserver or the processors allow")
	f.StringVar(&o.network, "network", "none", "what RUN steps may reach: `none` or host")
	f.StringVar(&o.isolation, "isolation", "", "isolate RUN steps as far as `LEVEL` says: full, user, chroot, none, or auto")
	f.StringArrayVar(&o.hosts, "add-host", nil, "put `NAME:ADDRESS` into the /etc/hosts of RUN steps; may be repeated")
	f.StringVar(&o.platform, "platform", "", "build for `OS/ARCH[/VARIANT]` instead of this machine")
	f.StringArrayVar(&o.labels, "label", nil, "add a label, `NAME=VALUE`, to the image; may be repeated")
	f.StringVar(&o.compress, "compress", "", "compress new layers with `gzip`, zstd or none")
	f.StringVar(&o.iidfile, "iidfile", "", "write the image's digest to `FILE`")
	f.BoolVar(&o.writeDeps, "MD", false, "write a rule for make with the files that the image depends on, as gcc -MD does")
	f.StringVar(&o.depFile, "MF", "", "write the rule to `FILE`; default: that of --iidfile with .d for its suffix")
	f.StringVar(&o.depTarget, "MT", "", "make it a rule for `TARGET`; default: the file of --iidfile")
	f.OneDash("MD", "MF", "MT")
	f.StringVar(&o.metadata, "metadata-file", "", "write digests and names of the image to `FILE`, as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print the image's digest and nothing else")
	f.StringVar(&o.progress, "progress", "auto", "show progress as `auto`, tty, plain, json or none")
	f.StringVar(&o.color, "color", "auto", "colour the progress: `auto`, always or never")
	f.StringVar(&o.onFail, "on-fail", "", "after a step that failed, run `COMMAND` with sh -c and DOCKSMITH_BUNDLE and others set")
	f.BoolVar(&o.noOverlay, "no-overlay", false, "compare trees instead of using an overlay file system")
	f.Var(checkFlag{o}, "check", "print what the checks find, and build nothing; --check=N% builds, and does N% of the steps in the cache again to compare")
	f.Lookup("check").NoOptDefVal = "true"
	f.StringVar(&o.rules, "check-rules", "", "use `RULES` instead of the file's check directive, as skip=NAME,NAME or error=true")
	o.limits.Declare(f)
	f.Complete("file", "file")
	f.Complete("tag", "image")
	f.Complete("target", "stage")
	f.Complete("allow", "network.host,security.insecure")
	f.Complete("network", "none,host")
	f.Complete("isolation", strings.Join(sandbox.Isolations, ","))
	f.Complete("compress", "gzip,zstd,none")
	f.Complete("iidfile", "file")
	f.Complete("MF", "file")
	f.Complete("after", "file")
	f.Complete("metadata-file", "file")
	f.Complete("progress", "auto,tty,plain,json,none")
	f.Complete("color", "auto,always,never")
}
