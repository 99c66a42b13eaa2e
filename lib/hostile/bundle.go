package hostile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of users outside, which no image can mean.
const (
	outsidePasswd = "app:x:4242:4242::/:/bin/sh\n"
	outsideGroup  = "staff:x:4242:\n"
)

// bundle is what is looked at of a bundle's config.json.
type bundle struct {
	Process struct {
		User struct {
			UID            int64   `json:"uid"`
			GID            int64   `json:"gid"`
			AdditionalGids []int64 `json:"additionalGids"`
		} `json:"user"`
		Args []string `json:"args"`
	} `json:"process"`
	Annotations map[string]string `json:"annotations"`
}

func (p places) bundle() (b bundle, err error) {
	raw, err := os.ReadFile(filepath.Join(p.root, "config.json"))
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	return b, err
}

// noBundle is the judge of a program that succeeded: it has made a bundle.
func noBundle(p places, t *trial) string {
	if _, err := p.bundle(); t.status == 0 && err != nil {
		return "there is no bundle: " + err.Error()
	}
	return ""
}

// imageOf is the archive of an image with settings.
func imageOf(config map[string]any, layers ...[]byte) []byte {
	return archiveOf(layers, func(document string, p *parts) {
		if document == "config" {
			p.config["config"] = config
		}
	})
}

// runs is a fixture of who a container runs as: of a user with the files that the
// items make. right judges who that is; nil: nobody may be found.
func runs(name, user string, q quota, right func(b bundle) bool, items func(p places) []item) Fixture {
	return Fixture{
		Row: 12, Name: "user/" + name, kind: ofBundle, quota: q,
		images: func(p places) [][]byte {
			// In small, since it is also in memory here.
			return [][]byte{imageOf(map[string]any{"User": user, "Cmd": []string{"/x"}}, gzipOf(tarOf(items(p)...)))}
		},
		judge: func(p places, t *trial) string {
			b, err := p.bundle()
			switch u := b.Process.User; {
			case t.status != 0:
				return ""
			case err != nil:
				return err.Error()
			case right == nil || !right(b):
				return fmt.Sprintf("%q became user %d, group %d, groups %d", user, u.UID, u.GID, u.AdditionalGids)
			}
			return ""
		},
	}
}

// etc makes the files of users.
func etc(passwd, group string) func(places) []item {
	return func(places) []item {
		return []item{dir("etc"), file("etc/passwd", passwd), file("etc/group", group)}
	}
}

// users are attacks on who a container runs as: by the files of users in an
// image, and by what it says about its user.
func users() []Fixture {
	links := func(items func(p places) []item) func(places) []item {
		return func(p places) []item { return append([]item{dir("etc")}, items(p)...) }
	}
	link := func(name, to string) item { // whose mode is what it leads to
		s := symlink(name, to)
		s.mode = 0o644
		return s
	}
	isUser := func(uid int64) func(bundle) bool { return func(b bundle) bool { return b.Process.User.UID == uid } }
	groups := func(want ...int64) func(bundle) bool {
		return func(b bundle) bool {
			got := slices.DeleteFunc(slices.Clone(b.Process.User.AdditionalGids), func(g int64) bool { return g == b.Process.User.GID })
			return b.Process.User.GID == want[0] && slices.Equal(slices.Sorted(slices.Values(got)), want[1:])
		}
	}
	huge := strings.Repeat("\n", 12*megabyte)
	member := "app:x:1000:\nwheel:x:10:app\nstaff:x:20:apple\nusers:x:30:my-app,app2\nlast:x:40:other,app\n"
	list := []Fixture{
		runs("passwd-absolute-link", "app", quota{}, nil, links(func(p places) []item { return []item{link("etc/passwd", p.outside+"/passwd")} })),
		runs("passwd-relative-link", "app", quota{}, nil, links(func(places) []item { return []item{link("etc/passwd", "../../../outside/passwd")} })),
		runs("group-link", "1000:staff", quota{}, nil, links(func(p places) []item { return []item{link("etc/group", p.outside+"/group")} })),
		runs("passwd-fifo", "app", quota{}, nil, links(func(places) []item { return []item{{name: "etc/passwd", kind: '6'}} })),
		runs("group-fifo", "app", quota{}, nil, links(func(places) []item {
			return []item{file("etc/passwd", "app:x:1000:1000::/:/bin/sh\n"), {name: "etc/group", kind: '6'}}
		})),
		runs("directory-link", "app", quota{}, nil, func(p places) []item {
			etc := link("etc", p.outside)
			etc.mode = 0o755
			return []item{etc}
		}),
		runs("passwd-huge", "app", quota{memory: maxMemory}, nil, etc(huge+"app:x:1000:1000::/:/bin/sh\n", "")),
		runs("group-huge", "app", quota{memory: maxMemory}, nil, etc("app:x:1000:1000::/:/bin/sh\n", huge)),
		runs("number-is-name", "1000", quota{}, isUser(1000), etc("1000:x:0:0::/:/bin/sh\n", "")),
		runs("number-is-group-name", "1000:1000", quota{}, func(b bundle) bool { return b.Process.User.GID == 1000 }, etc("", "1000:x:0:\n")),
		runs("line-overflows", "app", quota{}, nil, etc("app:x:4294967296:4294967296::/:/bin/sh\n", "")),
		runs("line-negative", "app", quota{}, nil, etc("app:x:-4294967296:0::/:/bin/sh\n", "")),
		runs("groups", "app", quota{}, groups(1000, 10, 40), etc("app:x:1000:1000::/:/bin/sh\n", member)),
		runs("groups-named", "app:staff", quota{}, groups(20), etc("app:x:1000:1000::/:/bin/sh\n", member)),
	}
	for i, user := range []string{"4294967296", "4294967295", "-1", "-4294967296", "18446744073709551616", "0x0", "1000:4294967296"} {
		list = append(list, runs(fmt.Sprintf("overflow-%d", i+1), user, quota{}, nil, etc("root:x:0:0::/:/bin/sh\n", "")))
	}
	return list
}
