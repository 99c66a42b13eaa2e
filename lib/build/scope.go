package build

import (
	"strings"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
)

// scope is what a word can see: the environment of the image, then the build
// arguments that are declared so far. An environment variable beats an argument
// of the same name, whichever came first.
type scope struct {
	env  []string // KEY=VALUE, in the order of the image's configuration
	args []arg
}

// arg is a declared build argument. One that was never given a value is unset.
type arg struct {
	name, value string
	set         bool
}

// lookup is the meaning of a variable in this scope.
func (s *scope) lookup(name string) (string, bool) {
	for _, kv := range s.env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v, true
		}
	}
	for _, a := range s.args {
		if a.name == name && a.set {
			return a.value, true
		}
	}
	return "", false
}

// declare adds an argument; a later declaration replaces an earlier one.
func (s *scope) declare(a arg) {
	for i := range s.args {
		if s.args[i].name == a.name {
			s.args[i] = a
			return
		}
	}
	s.args = append(s.args, a)
}

// visible are the set arguments that no environment variable hides, in the
// order of their declaration: what the command of a RUN step gets beside the
// environment.
func (s *scope) visible() []arg {
	var out []arg
	bare := scope{env: s.env}
	for _, a := range s.args {
		if _, hidden := bare.lookup(a.name); a.set && !hidden {
			out = append(out, a)
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
	b.declarePlatform("BUILD", oci.HostPlatform())
	b.declarePlatform("TARGET", b.o.Platform)
	b.globals.declare(arg{"TARGETSTAGE", b.targetName(), true})
	for _, a := range b.plan.Args {
		v := arg{name: a.Name}
		if given, ok := b.o.Args[a.Name]; ok {
			v.value, v.set = given, true
			b.use(a.Name)
		} else if a.Default != nil {
			word, err := b.word(&b.globals, *a.Default)
			if err != nil {
				return b.fault(a.Line, err)
			}
			v.value, v.set = word, true
		}
		b.globals.declare(v)
	}
	return nil
}

func (b *builder) declarePlatform(prefix string, p oci.Platform) {
	for _, a := range []arg{
		{prefix + "PLATFORM", oci.PlatformString(p), true},
		{prefix + "OS", p.OS, true},
		{prefix + "OSVERSION", p.OSVersion, true},
		{prefix + "ARCH", p.Architecture, true},
		{prefix + "VARIANT", p.Variant, true},
	} {
		if given, ok := b.o.Args[a.name]; ok {
			a.value = given
			b.use(a.name)
		}
		b.globals.declare(a)
	}
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

// proxies are the arguments that every RUN sees without declaring them. They
// say how to reach the network from here, so they are never part of the image
// nor of a key.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}

// proxyEnv are the proxy arguments given for this build that s does not set.
func (b *builder) proxyEnv(s *scope) []string {
	var env []string
	for _, upper := range proxies {
		for _, name := range []string{upper, strings.ToLower(upper)} {
			v, given := b.o.Args[name]
			if _, set := s.lookup(name); given && !set {
				env = append(env, name+"="+v)
			}
		}
	}
	return env
}

// warnUnusedArgs names the build arguments that nothing declared.
func (b *builder) warnUnusedArgs() {
	known := map[string]bool{"SOURCE_DATE_EPOCH": true}
	for _, name := range proxies {
		known[name], known[strings.ToLower(name)] = true, true
	}
	for _, name := range sortedKeys(b.o.Args) {
		if !b.used[name] && !known[name] {
			b.warn(0, "build argument "+name+" was given but no ARG declares it")
		}
	}
}
