package build

import (
	"slices"
	"strings"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
)

// scope is what a word can see, and a command: one list of variables, KEY=VALUE,
// each once, in the order of their first appearance. ENV and ARG both write to
// it, but an ARG never hides an ENV, be it of the base image. A stage that begins
// with another sees its arguments too.
//
// BuildKit's program lets the later line count. Its reference says that ENV always
// overrides ARG, and other builders do that.
type scope struct{ vars []string }

// lookup is the meaning of a variable in this scope.
func (s *scope) lookup(name string) (string, bool) {
	for _, kv := range s.vars {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

func (s *scope) set(name, value string) { s.vars = oci.MergeEnv(s.vars, name+"="+value) }

// hasEnv says whether an ENV of the stage or its base has set a variable.
func (s *stage) hasEnv(name string) bool {
	env := scope{s.img.Config.Env}
	_, ok := env.lookup(name)
	return ok
}

// declare makes an argument known to the stage, for the history of its commands.
func (s *stage) declare(name string) {
	if !slices.Contains(s.args, name) {
		s.args = append(s.args, name)
	}
}

// argEnv is what the command of a RUN step gets beside the environment of the
// image: the arguments that have a value.
func (s *stage) argEnv() []string {
	var out []string
	for _, kv := range s.vars.vars {
		if !slices.Contains(s.img.Config.Env, kv) {
			out = append(out, kv)
		}
	}
	return out
}

// word is the value of a word in scope s.
func (b *builder) word(s *scope, word string) (string, error) {
	if !strings.ContainsAny(word, "$'\"`\\") {
		return word, nil
	}
	x, err := dockerfile.Expander{Escape: b.escape}.Word(word, s.lookup)
	return x.Value, err
}

// words is word for each of list.
func (b *builder) words(s *scope, list []string) ([]string, error) {
	out := make([]string, len(list))
	for i, w := range list {
		v, err := b.word(s, w)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// setGlobals evaluates the arguments before the first FROM, on top of those
// that describe the platforms.
func (b *builder) setGlobals() error {
	b.setPlatform("BUILD", oci.HostPlatform())
	b.setPlatform("TARGET", b.o.Platform)
	b.setGlobal("TARGETSTAGE", b.targetName())
	for _, a := range b.plan.Args {
		value := ""
		if _, given := b.o.Args[a.Name]; !given {
			if a.Default == nil {
				continue // what has the name keeps it: ARG TARGETPLATFORM
			}
			var err error
			if value, err = b.word(&b.globals, *a.Default); err != nil {
				return b.fault(a.Line, err)
			}
		}
		b.setGlobal(a.Name, value)
	}
	return nil
}

// setGlobal gives an argument its value, or that of --build-arg.
func (b *builder) setGlobal(name, value string) {
	if given, ok := b.o.Args[name]; ok {
		b.use(name)
		value = given
	}
	b.globals.set(name, value)
}

func (b *builder) setPlatform(prefix string, p oci.Platform) {
	b.setGlobal(prefix+"PLATFORM", oci.PlatformString(p))
	b.setGlobal(prefix+"OS", p.OS)
	b.setGlobal(prefix+"OSVERSION", p.OSVersion)
	b.setGlobal(prefix+"ARCH", p.Architecture)
	b.setGlobal(prefix+"VARIANT", p.Variant)
}

func (b *builder) targetName() string {
	if name := b.plan.Stages[b.target].Name; name != "" {
		return name
	}
	if b.o.Target != "" {
		return b.o.Target
	}
	return "default"
}

// proxies are the arguments that every RUN sees without declaring them, in both
// cases, whichever was given. They say how to reach the network from here, so
// they are never part of the image nor of a key.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}

// proxyEnv are the proxy arguments given for this build that s does not set.
func (b *builder) proxyEnv(s *scope) []string {
	var env []string
	for _, upper := range proxies {
		lower := strings.ToLower(upper)
		v, given := b.o.Args[lower]
		if !given {
			v, given = b.o.Args[upper]
		}
		for _, name := range []string{upper, lower} {
			if _, set := s.lookup(name); given && !set {
				env = append(env, name+"="+v)
			}
		}
	}
	return env
}

// ownArgs are arguments for the builder itself, which need no ARG. Of BuildKit's
// those are left out that would change the image here: the rest ask for things
// that are done anyway (the .git of a context stays, a syntax is never fetched),
// or for documents that other programs make (a cache manifest, an SBOM, an index
// around the image).
var ownArgs = []string{
	epochArg, "BUILDKIT_BUILD_NAME", cacheSpaceArg, "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
	"BUILDKIT_DOCKERFILE_CHECK", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", hostnameArg,
	"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE", "BUILDKIT_SYNTAX",
}

// cacheSpaceArg is the argument that keeps the cache mounts of a build apart from
// those of builds with another value.
const cacheSpaceArg = "BUILDKIT_CACHE_MOUNT_NS"

// hostnameArg is the argument that gives the containers of RUN steps their host
// name.
const hostnameArg = "BUILDKIT_SANDBOX_HOSTNAME"

// warnUnusedArgs names the build arguments that nothing declared.
func (b *builder) warnUnusedArgs() {
	known := map[string]bool{}
	for _, name := range ownArgs {
		known[name] = true
	}
	for _, name := range proxies {
		known[name], known[strings.ToLower(name)] = true, true
	}
	for _, name := range sortedKeys(b.o.Args) {
		if !b.used[name] && !known[name] {
			b.warn(0, "build argument "+name+" was given but no ARG declares it")
		}
	}
}
