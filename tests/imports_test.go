package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the architecture: which packages of lib each package may import
// directly. A package that is not listed does not exist.
var mayImport = map[string]string{
	"suggest":    "",
	"cli":        "suggest",
	"oci":        "",
	"dockerfile": "suggest",
	"elf":        "",
	"flock":      "",
	"rootfs":     "",
	"container":  "flock",
	"sandbox":    "flock rootfs",
	"limits":     "cli sandbox",
	"volume":     "flock",
	"plan":       "dockerfile",
	"makefile":   "dockerfile plan",
	"buildctx":   "flock",
	"buildlog":   "flock",
	"layer":      "rootfs",
	"store":      "flock oci layer rootfs suggest",
	"cache":      "flock oci",
	"dashboard":  "buildlog cache cli container keep store",
	"jobs":       "",
	"verify":     "archive oci layer store cache buildlog compare",
	"archive":    "layer oci",
	"compare":    "archive layer oci store",
	"hostile":    "",
	"restack":    "compare layer oci store",
	"fetch":      "dockerfile fetched",
	"fetched":    "flock",
	"keep":       "buildlog cache container fetched flock oci store",
	"build":      "oci plan dockerfile suggest buildctx layer cache rootfs",
}

// mayUse says which packages may import a third-party module directly; cmd is
// written as "cmd". A module that is not listed is a new dependency.
var mayUse = map[string]string{
	"github.com/fatih/color":                 "cli cmd",
	"github.com/klauspost/compress":          "layer cache",
	"github.com/klauspost/pgzip":             "layer",
	"github.com/mattn/go-isatty":             "cli",
	"github.com/moby/patternmatcher":         "buildctx",
	"github.com/moby/profiles/seccomp":       "sandbox",
	"github.com/opencontainers/go-digest":    "oci store cache build verify compare keep cmd",
	"github.com/opencontainers/image-spec":   "oci",
	"github.com/opencontainers/runtime-spec": "oci sandbox limits store build cmd",
	"github.com/spf13/pflag":                 "cli",
	"github.com/ulikunitz/xz":                "layer",
	"golang.org/x/sys":                       "fetched rootfs sandbox container layer store buildctx cache jobs verify hostile cmd",
	"github.com/zeebo/blake3":                "buildctx cache",
}

// mayImportNet are the packages that import net and open no connection: pflag
// has flags for addresses.
var mayImportNet = []string{"github.com/spf13/pflag"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func goList(t *testing.T, goos string, patterns ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	used := map[string]bool{} // "importer imported", as in the tables
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range goList(t, goos, "docksmith/lib/...", "docksmith/cmd/...") {
			checkImports(t, p, used)
		}
	}
	for name, allowed := range mayImport {
		for _, other := range strings.Fields(allowed) {
			if !used[name+" "+other] {
				t.Errorf("lib/%s does not import lib/%s any more: the table is stale", name, other)
			}
		}
	}
	for module, allowed := range mayUse {
		for _, name := range strings.Fields(allowed) {
			if !used[name+" "+module] {
				t.Errorf("%s does not import %s any more: the table is stale", name, module)
			}
		}
	}
}

func checkImports(t *testing.T, p goPackage, used map[string]bool) {
	rest, inLib := strings.CutPrefix(p.ImportPath, "docksmith/lib/")
	name := strings.SplitN(rest, "/", 2)[0]
	allowed, known := mayImport[name]
	if inLib && !known {
		t.Errorf("package %s is not in the table of packages", p.ImportPath)
	}
	if !inLib {
		name = "cmd"
	}
	for _, imp := range p.Imports {
		if other, ok := strings.CutPrefix(imp, "docksmith/lib/"); ok {
			used[name+" "+other] = true
			if inLib && other != name && !slices.Contains(strings.Fields(allowed), other) {
				t.Errorf("%s imports %s: not in its row of the table", p.ImportPath, imp)
			}
			continue
		}
		module := moduleOf(imp)
		used[name+" "+module] = true
		if module != "" && !slices.Contains(strings.Fields(mayUse[module]), name) {
			t.Errorf("%s imports %s: not in the module's row of the table", p.ImportPath, imp)
		}
	}
}

// moduleOf is the module of the table that a third-party import belongs to, or
// the import itself; empty for the standard library and for ourselves.
func moduleOf(imp string) string {
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		return ""
	}
	for module := range mayUse {
		if imp == module || strings.HasPrefix(imp, module+"/") {
			return module
		}
	}
	return imp
}

// mayReachNetwork are the programs that open connections. The others pay
// nothing for it at their start.
var mayReachNetwork = []string{"docksmith/cmd/ds-cache"}

// TestNoOtherProgramCanReachTheNetwork finds who imports net among all that is
// linked; net/http and crypto/tls do.
func TestNoOtherProgramCanReachTheNetwork(t *testing.T) {
	list := []string{"-deps"}
	for _, p := range goList(t, "linux", "docksmith/cmd/...") {
		if !slices.Contains(mayReachNetwork, p.ImportPath) {
			list = append(list, p.ImportPath)
		}
	}
	for _, p := range goList(t, "linux", list...) {
		if slices.Contains(p.Imports, "net") && !slices.Contains(mayImportNet, p.ImportPath) {
			t.Errorf("%s is linked and imports net", p.ImportPath)
		}
	}
}
