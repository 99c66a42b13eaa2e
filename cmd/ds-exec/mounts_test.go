package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWishes says what each option becomes: destination, type, source or volume,
// and options; or what the refusal mentions.
func TestWishes(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const bind, fill = "rbind,nosuid,rprivate", "rbind,nosuid,rprivate,x-docksmith.fill"
	for _, c := range []struct{ flag, word, want string }{
		{"volume", "/a:/b", "/b bind /a " + bind},
		{"volume", "./a:/b/../c/:ro,noexec", "/c bind " + filepath.Join(here, "a") + " " + bind + ",ro,noexec"},
		{"volume", "/a:/b:rw,rshared,cached", "/b bind /a " + bind + ",rshared"},
		{"volume", "name:/b", "/b volume name " + fill},
		{"volume", "name:/b:nocopy,ro", "/b volume name " + bind + ",ro"},
		{"volume", "/b", "/b volume  " + fill},
		{"volume", "/b:", "!is not"},
		{"volume", "a", "!is not"},
		{"volume", ":/b", "!is not"},
		{"volume", "/a:/b:ro:x", "!is not"},
		{"volume", "/a:b", "!is not"},
		{"volume", "/a:/b:sync", `!unknown option "sync"`},
		{"volume", "/a:/b:nocopy", "!nocopy is for volumes"},
		{"volume", "/a:/", "!nothing is mounted on /"},
		{"volume", "/..", "!nothing is mounted on /"},
		{"volume", "x:/b", "!two or more"},
		{"volume", "-n:/b", "!two or more"},
		{"mount", "type=bind,source=/a,target=/b", "/b bind /a " + bind},
		{"mount", "type=bind,src=a,dst=/b,readonly", "/b bind " + filepath.Join(here, "a") + " " + bind + ",ro"},
		{"mount", "readonly=false,target=/b,type=bind,source=/a,bind-propagation=rslave", "/b bind /a " + bind + ",rslave"},
		{"mount", "type=bind,source=/a,target=/b,bind-nonrecursive", "/b bind /a bind,nosuid,rprivate"},
		{"mount", `type=bind,"source=/a,b",target=/b`, "/b bind /a,b " + bind},
		{"mount", "src=name,destination=/b,ro=1", "/b volume name " + fill + ",ro"},
		{"mount", "dst=/b", "/b volume  " + fill},
		{"mount", "type=volume,src=name,dst=/b,volume-nocopy", "/b volume name " + bind},
		{"mount", "src=name,dst=/b,volume-subpath=p/q", "/b volume name " + bind + ",x-docksmith.subpath=p/q"},
		{"mount", "type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700", "/b tmpfs tmpfs nosuid,nodev,noexec,mode=1777,size=1048576,mode=700"},
		{"mount", "type=bind,dst=/b", "!source=PATH is needed"},
		{"mount", "type=bind,src=/a", "!target=/PATH is needed"},
		{"mount", "type=nfs,dst=/b", "!type nfs"},
		{"mount", "type=tmpfs,src=a,dst=/b", "!has no source"},
		{"mount", "type=tmpfs,dst=/b,bind-propagation=slave", "!is not for type=tmpfs"},
		{"mount", "type=bind,src=/a,dst=/b,bind-propagation=x", "!bind-propagation is"},
		{"mount", "src=name,dst=/b,tmpfs-size=1m", "!is not for type=volume"},
		{"mount", "src=../up,dst=/b", "!two or more"},
		{"mount", "src=name,dst=/b,volume-driver=x", "!unknown member"},
		{"mount", `src="`, "!want type="},
		{"tmpfs", "/b", "/b tmpfs tmpfs nosuid,nodev,noexec,mode=1777"},
		{"tmpfs", "/b/:size=1m,exec", "/b tmpfs tmpfs nosuid,nodev,noexec,mode=1777,size=1m,exec"},
		{"tmpfs", "b", "!is not"},
	} {
		parse := map[string]func(string) (wish, error){"volume": parseVolume, "mount": parseMount, "tmpfs": parseTmpfs}[c.flag]
		w, err := parse(c.word)
		kind, source := w.Mount.Type, w.Source
		if w.volume {
			kind, source = "volume", w.name
		}
		got := strings.Join([]string{w.Destination, kind, source, strings.Join(w.Options, ",")}, " ")
		if refusal, refused := strings.CutPrefix(c.want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("--%s %s: %v, want an error with %q", c.flag, c.word, err, refusal)
			}
		} else if err != nil || got != c.want {
			t.Errorf("--%s %s: %q, %v, want %q", c.flag, c.word, got, err, c.want)
		}
	}
}

// TestOrder has the outer mounts first, and nothing mounted twice.
func TestOrder(t *testing.T) {
	s := &settings{volumes: []string{"/x:/a/b/c", "/y:/a"}, tmpfs: []string{"/a/b"}}
	list, err := s.wishes()
	if err != nil {
		t.Fatal(err)
	}
	list = smith(list)
	outerFirst(list)
	var got []string
	for _, w := range list {
		got = append(got, w.Destination)
	}
	if want := "/a /run /a/b /a/b/c"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.mounts = []string{"type=tmpfs,dst=/a/b/"}
	if _, err := s.wishes(); err == nil || !strings.Contains(err.Error(), "is mounted on /a/b already") {
		t.Errorf("%v", err)
	}
}

// TestSmith makes what lies in /read read-only, and leaves the caller's list alone.
func TestSmith(t *testing.T) {
	s := &settings{volumes: []string{"/x:/read", "/y:/read/z", "/w:/readable", "/v:/run"}}
	list, err := s.wishes()
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range smith(list) {
		ro := w.Options[len(w.Options)-1] == "ro"
		if ro != (i < 2) || w.Destination == "/run" && w.Mount.Type != "bind" {
			t.Errorf("%+v", w)
		}
		if list[i].Options[len(list[i].Options)-1] == "ro" {
			t.Errorf("the list was changed: %+v", list[i])
		}
	}
}
