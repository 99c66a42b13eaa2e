package tests

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestExamplesAreClean reads every Dockerfile of the examples and finds nothing
// to warn about.
func TestExamplesAreClean(t *testing.T) {
	b := newBox(t)
	files := b.sh("find " + repository() + "/tests/examples -name Dockerfile -o -name Docksmithfile")
	for _, file := range strings.Split(files, "\n") {
		if out, err := b.try("ds-parse --check " + file); err != nil || out != "" {
			t.Errorf("%s%v", out, err)
		}
	}
}

// TestLuaFromItsSource is the example that needs the world: a Debian base, apt
// in a RUN, a compiler, two stages. The second build does nothing again.
func TestLuaFromItsSource(t *testing.T) {
	if os.Getenv("DOCKSMITH_TEST_NETWORK") == "" {
		t.Skip("DOCKSMITH_TEST_NETWORK is not set: mmdebstrap and apt would need a network")
	}
	b := newBox(t)
	b.debian()
	build := "docksmith build -q --network=host -t lua:5.4 " + repository() + "/tests/examples/lua"
	first := b.sh(build)
	if got := b.sh("docksmith run -e NAME=test lua:5.4"); got != "Hello, test, from Lua 5.4: 2 3 5 7 11 13 17 19 23 29" {
		t.Errorf("the program says %q", got)
	}
	if b.status("ds-exec run --rm $(ds-store bundle --new lua:5.4) -- gcc") != 127 {
		t.Error("the compiler is in the second stage")
	}
	if second := b.sh(build); second != first {
		t.Errorf("built again: %s, first %s", second, first)
	}
}

// TestExamples is what needs the world: a Debian base, packages of Debian, of
// npm and of a Go proxy, compilers, servers. Every example is built, built again
// (nothing is done), without any cache elsewhere (the same bytes), and run.
// DOCKSMITH_TEST_EXAMPLES names those to run, or is "all".
func TestExamples(t *testing.T) {
	wanted := strings.Fields(os.Getenv("DOCKSMITH_TEST_EXAMPLES"))
	if len(wanted) == 0 {
		t.Skip("DOCKSMITH_TEST_EXAMPLES is not set: apt, npm and go would need a network and many minutes")
	}
	all := []struct {
		name string
		test func(*testing.T, *examples)
	}{
		{"heredoc", testHeredoc}, {"onbuild", testOnbuild}, {"nginx", testNginx},
		{"postgres", testPostgres}, {"c-service", testCService}, {"python", testPython},
		{"java", testJava}, {"golang", testGolang}, {"node", testNode}, {"monorepo", testMonorepo},
	}
	known := []string{"all"}
	for _, e := range all {
		known = append(known, e.name)
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			t.Fatalf("DOCKSMITH_TEST_EXAMPLES: no example %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	x := newExamples(t)
	for _, e := range all {
		if wanted[0] == "all" || slices.Contains(wanted, e.name) {
			t.Run(e.name, func(t *testing.T) { e.test(t, x.of(t)) })
		}
	}
}

func testHeredoc(t *testing.T, x *examples) {
	x.build("heredoc", "greeter", "--build-arg VERSION=2.0.1")
	want := "Hello from greeter on debian\nname = greeter\nversion = 2.0.1\nmajor = 2\nlisten = 127.0.0.1:8080\nprice = $5"
	if got := x.sh("docksmith run greeter"); got != want {
		t.Errorf("the program says:\n%s", got)
	}
	want = "name = ${APP}\nGreeter 2.0.1, line 3\nGreeter 2.0.1, line 2\nGreeter 2.0.1, line 1\n21"
	if got := x.sh("docksmith run greeter cat literal.conf reversed.txt sum"); got != want {
		t.Errorf("the files are:\n%s", got)
	}
}

func testOnbuild(t *testing.T, x *examples) {
	x.toolchain("onbuild/base")
	x.sh("docksmith build -t site:onbuild " + x.dir("onbuild/base"))
	x.build("onbuild/app", "site", "--build-arg TITLE=Mine")
	if got := x.sh("docksmith run site"); got != "Mine\n1. First page\n2. Second page" {
		t.Errorf("the site is:\n%s", got)
	}
	c := x.config("site")
	if c.Labels["example.title"] != "Mine" || c.WorkingDir != "/srv/site" || len(c.OnBuild) > 0 {
		t.Errorf("the configuration is %+v", c)
	}
	if n := len(x.config("site:onbuild").OnBuild); n != 4 {
		t.Errorf("the base has %d triggers", n)
	}
}

func testNginx(t *testing.T, x *examples) {
	x.build("nginx", "nginx", "--network=host")
	if c := x.config("nginx"); c.StopSignal != "SIGQUIT" || !has(c.ExposedPorts, "80/tcp") {
		t.Errorf("the configuration is %+v", c)
	}
	s := x.serve("nginx")
	get := `exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3`
	s.want("Served from an image without a daemon", "bash", "-c", get)
	s.stop("QUIT")
	if !strings.Contains(s.output(), `"GET / HTTP/1.0" 200`) {
		t.Errorf("the log is:\n%s", s.output())
	}
}

func testPostgres(t *testing.T, x *examples) {
	x.build("postgres", "postgres", "--network=host")
	c := x.config("postgres")
	if !has(c.Volumes, "/var/lib/postgresql/data") || !has(c.ExposedPorts, "5432/tcp") || c.StopSignal != "SIGINT" || c.User != "" ||
		c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"CMD-SHELL", "pg_isready -h 127.0.0.1 -U postgres"}) {
		t.Errorf("the configuration is %+v", c)
	}
	s := x.serve("-e POSTGRES_DB=things postgres -c work_mem=2MB")
	s.want("127.0.0.1:5432 - accepting connections", "pg_isready", "-h", "127.0.0.1")
	psql := []string{"gosu", "postgres", "/usr/lib/postgresql/15/bin/psql", "-Atc"}
	s.want("answer|42\ninitialised by|postgres\nmajor|15\n", append(psql, "SELECT * FROM facts ORDER BY name", "things")...)
	s.want("2MB", append(psql, "SHOW work_mem", "things")...)
	s.stop("INT")
	if !strings.Contains(s.output(), "database system is shut down") {
		t.Errorf("the log is:\n%s", s.output())
	}
}

func testCService(t *testing.T, x *examples) {
	x.build("c-service", "clockd")
	c := x.config("clockd")
	if c.User != "clockd:clockd" || c.Healthcheck == nil || c.Healthcheck.Interval != 2e9 {
		t.Errorf("the configuration is %+v", c)
	}
	s := x.serve("clockd")
	s.want("", "clockd", "--ping")
	s.stop("TERM")
	if got := s.output(); got != "clockd: port 7000, user 900\n" {
		t.Errorf("the service says %q", got)
	}
	if got := x.status("docksmith run clockd sh -c true"); got != 2 { // they are arguments of the service
		t.Errorf("the entrypoint was not used: status %d", got)
	}
}

func testPython(t *testing.T, x *examples) {
	x.build("python", "louder")
	x.sh("docksmith build -q --target test -t test " + x.dir("python"))
	s := x.serve("louder --port 8001")
	s.want("HELLO, YOU!", "python3", "-c",
		"from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8001/?say=hello,+you').read().decode())")
	s.want("LOUD!", "/opt/venv/bin/shout", "loud")
	s.stop("TERM")
}

func testJava(t *testing.T, x *examples) {
	x.build("java", "wordcount")
	x.sh("docksmith build -q --target test -t test " + x.dir("java"))
	if got := x.sh(`printf 'to be or\nnot to be, \303\204\n' | docksmith run wordcount`); got != "2 be\n2 to\n1 not\n1 or\n1 ä" {
		t.Errorf("the program says:\n%s", got)
	}
	if c := x.config("wordcount"); c.User != "nobody" || !has(c.Volumes, "/data") || c.WorkingDir != "/data" {
		t.Errorf("the configuration is %+v", c)
	}
}

func testGolang(t *testing.T, x *examples) {
	proxy := x.sh("go env GOPROXY")
	x.build("golang", "notes", x.secrets(), "--network=host", "--build-arg", "VERSION=1.2", "--build-arg", "GOPROXY='"+proxy+"'")
	x.sh("docksmith build -q --network=host --target test -t test --build-arg GOPROXY='" + proxy + "' " + x.secrets() + " " + x.dir("golang"))
	c := x.config("notes")
	if c.User != "65532:65532" || c.Healthcheck == nil || c.Healthcheck.Retries != 3 {
		t.Fatalf("the configuration is %+v", c)
	}
	s := x.serve("notes")
	s.want(`{"status":"ok","version":"1.2"}`, c.Healthcheck.Test[1:]...)
	s.stop("TERM")
	if n := x.sh("ds-store inspect --manifest notes | grep -o '\"digest\"' | wc -l"); n != "2" {
		t.Errorf("the image has %s blobs, want its configuration and one layer", n)
	}
}

func testNode(t *testing.T, x *examples) {
	x.build("node", "guestbook", x.secrets(), "--network=host")
	x.sh("docksmith build -q --network=host --target test -t test " + x.secrets() + " " + x.dir("node"))
	s := x.serve("guestbook")
	get := "fetch('http://127.0.0.1:3000/' + process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))"
	s.want("Welcome, Ada\n", "node", "-e", get, "greet/Ada")
	s.want("Welcome back, Ada (2)\n", "node", "-e", get, "greet/Ada")
	s.want(`["Ada"]`, "node", "-e", get, "guests")
	s.want("", x.config("guestbook").Healthcheck.Test[1:]...)
	s.stop("TERM")
	if got := s.output(); got != "listening on 3000 as 1000\nclosed\n" {
		t.Errorf("the service says %q", got)
	}
}

func testMonorepo(t *testing.T, x *examples) {
	x.build("monorepo", "api")
	x.build("monorepo", "worker", "--build-arg SERVICE=worker")
	x.sh("docksmith build -q --target test -t test " + x.dir("monorepo"))
	if got := x.sh("docksmith run api; docksmith run worker"); got != "The Answer Is 42\nworked 7 times" {
		t.Errorf("the services say %q", got)
	}
	want := "./LICENSE\n./api/calls.md\n./guide.md"
	if got := x.sh("docksmith run api sh -c 'cd /usr/share/doc/app && find . -type f | sort'"); got != want {
		t.Errorf("the documents are:\n%s", got)
	}
	want = "./main.js\n./node_modules/@example/math/package.json\n./node_modules/@example/math/src/index.js"
	if got := x.sh("docksmith run worker sh -c 'find . -type f | sort'"); got != want {
		t.Errorf("the worker's files are:\n%s", got)
	}
}

func has(set map[string]struct{}, name string) bool { _, ok := set[name]; return ok }
