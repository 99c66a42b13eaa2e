package elf

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplets(t *testing.T) {
	root := makeRoot(t, map[string]string{
		"bin/busybox": "\x7fELF\x00zz\x00\x82\x00[\x00[[\x00ash\x00busybox\x00cat\x00sh\x00\x00sh\x00more\x00",
		"bin/other":   "\x7fELF\x00ash\x00cat\x00sh\x00",
	})
	got, err := Applets(root, "/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[", "[[", "ash", "busybox", "cat", "sh"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := Applets(root, "/bin/other"); err != nil || got != nil {
		t.Errorf("not a busybox: got %v, %v", got, err)
	}
}

func TestAppletsAgreeWithBusybox(t *testing.T) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	out, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Applets("/", path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(out)), got); diff != "" {
		t.Errorf("busybox --list and the table differ (-list +table):\n%s", diff)
	}
}
