package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const page = `usage: docksmith run [OPTION]... IMAGE [COMMAND [ARG]...]

Run a command -- or not.

  -e, --env NAME=VALUE       set a variable, over the image's
      --[no-]seccomp         filter
      --from-tar FILE   take FILE
  -h, --help                 show this help

    docksmith run -e --x y
`

func TestReadPorcelain(t *testing.T) {
	got, err := readPorcelain([]command{{Name: "ds-x", Commands: []command{{Name: "ls", Args: "A"}}}}, func(args ...string) (string, error) {
		if len(args) == 1 {
			return "usage: x\n\nText here.\n\nImages:\n  run       run it: a 'command'\n  images    list\n", nil
		}
		if args[0] == "images" {
			return "usage: ds-x ls [OPTION]...\n\n  -h, --help   ignored\n", nil
		}
		return page, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := command{Name: "docksmith", Commands: []command{{
		Name: "run", Short: "run it: a 'command'", Args: "IMAGE [COMMAND [ARG]...]",
		Flags: []option{
			{Name: "env", Letter: "e", Arg: "NAME=VALUE", Usage: "set a variable, over the image's"},
			{Name: "seccomp", Usage: "filter"},
			{Name: "no-seccomp", Usage: "not: filter"},
			{Name: "from-tar", Arg: "FILE", Usage: "take FILE"},
			{Name: "help", Letter: "h", Usage: "show this help"},
		},
	}, {Name: "images", Short: "list", Args: "A"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// sample has every kind of flag and operand.
var sample = command{
	Name: "ds-x", Short: "Do x.",
	Flags: []option{{Name: "quiet", Letter: "q", Usage: "don't [talk]: ever"}},
	Commands: []command{{
		Name: "go", Args: "IMAGE [FILE]", Short: "Go on.",
		Flags: []option{
			{Name: "dir", Letter: "d", Arg: "DIR", Usage: "in"},
			{Name: "as", Arg: "KIND", Usage: "what", Complete: "oci,docker"},
			{Name: "name", Arg: "NAME", Usage: "n"},
		},
	}, {
		Name: "rm", Args: "CONTAINER...", Short: "Remove.", Flags: []option{{Name: "all", Usage: "all"}},
	}, {
		Name: "volume", Short: "Volumes.", Flags: []option{{Name: "help", Usage: "h"}}, Commands: []command{
			{Name: "create", Args: "[NAME]", Short: "Make one.", Flags: []option{{Name: "label", Arg: "KEY=VALUE", Usage: "l"}}},
			{Name: "rm", Args: "VOLUME...", Short: "Remove some.", Flags: []option{{Name: "force", Letter: "f", Usage: "f"}, {Name: "kind", Arg: "K", Complete: "a,b"}}},
		},
	}},
}

// programs are what the completions ask for names.
const programs = `ds-exec() { case "$*" in "ps --all --names") echo web; echo db ;; "volume ls --quiet") echo data; echo logs ;; esac; }
ds-store() { printf 'debian:12\0'; }
`

// TestShellsAccept lets each shell that is installed read its file.
func TestShellsAccept(t *testing.T) {
	for shell, text := range map[string][]byte{"bash": bash(sample), "zsh": zsh(sample), "fish": fish(sample)} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed: its completion is not parsed", shell)
			continue
		}
		cmd := exec.Command(shell, "-n")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s\n%s", shell, err, out, text)
		}
	}
}

func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	for line, want := range map[string]string{
		"ds-x g":           "go",
		"ds-x -":           "-q --quiet",
		"ds-x go --":       "--dir --as --name",
		"ds-x go --as ":    "oci docker",
		"ds-x go --as = d": "docker",
		"ds-x go --name x": "",

		"ds-x volume ":           "create rm",
		"ds-x volume r":          "rm",
		"ds-x volume rm ":        "data logs",
		"ds-x volume rm data l":  "logs",
		"ds-x volume rm -":       "-f --force --kind",
		"ds-x volume rm --kind ": "a b",
		"ds-x volume create ":    "",
		"ds-x volume -":          "--help",
		"ds-x rm ":               "web db",
		"ds-x rm volume d":       "db",
		"ds-x go d":              "debian:12",
	} {
		script := programs + string(bash(sample)) + "\nCOMP_WORDS=(" + line + ")\n" +
			`case "` + line + `" in *" ") COMP_WORDS+=("") ;; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_ds_x ds-x "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"`
		out, err := exec.Command("bash", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", line, got, err, want)
		}
	}
}
