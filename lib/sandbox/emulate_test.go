package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// As the kernel shows what qemu's packages register.
const (
	qemuArm64 = "interpreter /usr/bin/qemu-aarch64-static\nflags: FLAGS\noffset 0\n" +
		"magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	qemuArm = "interpreter /usr/bin/qemu-arm-static\nflags: FLAGS\noffset 0\n" +
		"magic 7f454c4601010100000000000000000002002800\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	qemuS390x = "interpreter /usr/bin/qemu-s390x-static\nflags: FLAGS\noffset 0\n" +
		"magic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n"
	wine = "interpreter /usr/bin/wine\nflags: F\noffset 0\nmagic 4d5a\n"
	jar  = "interpreter /usr/bin/jexec\nflags: F\nextension .jar\n"
	all  = "interpreter /x\nflags: F\noffset 18\nmagic b700\n" // no mask, not from the start
)

func entry(state, text, flags string) string {
	return state + "\n" + strings.Replace(text, "FLAGS", flags, 1)
}

func TestCanRun(t *testing.T) {
	for _, c := range []struct {
		name       string
		files      map[string]string
		host, arch string
		want       string // "" can run
	}{
		{"the same", nil, "amd64", "amd64", ""},
		{"386 on amd64", map[string]string{"status": "enabled\n"}, "amd64", "386", ""},
		{"arm on arm64", map[string]string{"status": "enabled\n"}, "arm64", "arm", ""},
		{"but not the other way", map[string]string{"status": "enabled\n"}, "386", "amd64", "no handler"},
		{"a handler", map[string]string{"status": "enabled\n", "register": "", "q": entry("enabled", qemuArm64, "POCF")}, "amd64", "arm64", ""},
		{"big-endian", map[string]string{"q": entry("enabled", qemuS390x, "F")}, "amd64", "s390x", ""},
		{"among others", map[string]string{"a": entry("enabled", wine, ""), "b": entry("enabled", jar, ""), "z": entry("enabled", qemuArm64, "F")}, "amd64", "arm64", ""},
		{"one for part of the header", map[string]string{"q": entry("enabled", all, "")}, "amd64", "arm64", ""},
		{"no handler", map[string]string{"status": "enabled\n", "a": entry("enabled", qemuArm, "F"), "b": entry("enabled", wine, ""), "c": entry("enabled", jar, "")}, "amd64", "arm64", "this machine is amd64 and its kernel has no handler"},
		{"of the same name for others", map[string]string{"qemu-arm64": entry("enabled", qemuS390x, "F")}, "amd64", "arm64", "no handler"},
		{"without F", map[string]string{"q": entry("enabled", qemuArm64, "OC")}, "amd64", "arm64", "the handler q was registered without the flag F, so its interpreter /usr/bin/qemu-aarch64-static is looked for"},
		{"two, one with F", map[string]string{"a": entry("enabled", qemuArm64, ""), "b": entry("enabled", qemuArm64, "F")}, "amd64", "arm64", ""},
		{"switched off", map[string]string{"q": entry("disabled", qemuArm64, "F")}, "amd64", "arm64", "the handler q is switched off"},
		{"all switched off", map[string]string{"status": "disabled\n", "q": entry("enabled", qemuArm64, "F")}, "amd64", "arm64", "are switched off in"},
		{"an entry that makes no sense", map[string]string{"q": "enabled\nmagic zz\n"}, "amd64", "arm64", "no handler"},
		{"a mask of another length", map[string]string{"q": "enabled\nflags: F\nmagic 7f45\nmask ff\n"}, "amd64", "arm64", "no handler"},
		{"an unknown architecture", map[string]string{"status": "enabled\n"}, "amd64", "vax", "unknown architecture"},
		{"nothing is known", map[string]string{}, "amd64", "arm64", ""},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := CanRun(dir, c.host, c.arch)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		e, ok := errors.AsType[*EmulationError](err)
		if !ok || e.Arch != c.arch || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := CanRun(filepath.Join(t.TempDir(), "nothing"), "amd64", "arm64"); err != nil {
		t.Errorf("no directory: %v", err)
	}
}
