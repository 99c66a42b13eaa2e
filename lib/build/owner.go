package build

import (
	"fmt"
	"strconv"
	"strings"

	"docksmith/lib/layer"
	"docksmith/lib/rootfs"
)

// owner is a numeric user and group.
type owner struct{ uid, gid uint32 }

// lookupOwner reads a USER[:[GROUP]] of names or numbers. A lone number sets
// both; a lone name brings the group that the root's passwd gives it. "root" is
// another word for 0, whatever the files say. root may be nil where every part is
// a number.
func lookupOwner(spec string, root *rootfs.Root) (owner, error) {
	user, group, _ := strings.Cut(spec, ":")
	if user == "root" {
		user = "0"
	}
	if group == "root" {
		group = "0"
	}
	both := group
	if both == "" {
		both = user
	}
	uid, errUser := strconv.ParseUint(user, 10, 32)
	gid, errGroup := strconv.ParseUint(both, 10, 32)
	if errUser == nil && errGroup == nil {
		if uid > rootfs.MaxID || gid > rootfs.MaxID {
			return owner{}, fmt.Errorf("%s: the number is too large", spec)
		}
		return owner{uint32(uid), uint32(gid)}, nil
	}
	if root == nil {
		return owner{}, fmt.Errorf("%s: there is no /etc/passwd in an empty root", spec)
	}
	if group != "" {
		user += ":" + group
	}
	u, err := root.LookupUser(user)
	if err != nil {
		return owner{}, err
	}
	return owner{u.UID, u.GID}, nil
}

// applyXattrs gives an entry the extended attributes that belong into a layer,
// and the owner that one of them holds where the real one could not be set.
func applyXattrs(e *layer.Entry, attrs map[string]string) {
	for name, value := range attrs {
		if name == layer.OwnerXattr {
			if o, err := parseOwner(value); err == nil {
				e.UID, e.GID = o.uid, o.gid
			}
			continue
		}
		if skipXattr(name) {
			continue
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = value
	}
}

func parseOwner(s string) (owner, error) {
	u, g, _ := strings.Cut(s, ":")
	uid, err := strconv.ParseUint(u, 10, 32)
	if err != nil {
		return owner{}, err
	}
	gid, err := strconv.ParseUint(g, 10, 32)
	return owner{uint32(uid), uint32(gid)}, err
}

// skipXattr names what describes the file system underneath, not the file.
func skipXattr(name string) bool {
	switch name {
	case "security.selinux", "security.ima", "security.evm":
		return true
	}
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}
