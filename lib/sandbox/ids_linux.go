package sandbox

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// idMaps are the ids that exist in a user namespace.
type idMaps struct {
	uids, gids []specs.LinuxIDMapping // HostID is as the caller's namespace has it
	setgroups  bool                   // false where an ordinary user mapped without help
}

// ownIDs are those of the caller's user namespace. They are read once, by the
// first call, which must come from where /proc is the host's.
var ownIDs = sync.OnceValue(func() idMaps { return *readIDs("/proc/self") })

// readIDs reads those of a process by its directory in /proc.
func readIDs(dir string) *idMaps {
	groups, err := os.ReadFile(dir + "/setgroups")
	return &idMaps{
		uids: readMap(dir + "/uid_map"), gids: readMap(dir + "/gid_map"),
		setgroups: err != nil || strings.TrimSpace(string(groups)) == "allow",
	}
}

// OneID tells whether the caller is in a user namespace with a single user id.
func OneID() bool {
	ids := ownIDs().uids
	return len(ids) == 1 && ids[0].Size == 1
}

// readMap reads a map of ids as the reader's namespace sees it; without the
// file, all ids are themselves.
func readMap(file string) []specs.LinuxIDMapping {
	b, err := os.ReadFile(file)
	if err != nil {
		return []specs.LinuxIDMapping{{Size: math.MaxUint32}}
	}
	var out []specs.LinuxIDMapping
	for line := range strings.Lines(string(b)) {
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// outside is what an id of the namespace is for who read the map.
func outside(ids []specs.LinuxIDMapping, id uint32) (outer int, ok bool) {
	for _, m := range ids {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return int(m.HostID + id - m.ContainerID), true
		}
	}
	return -1, false
}

func mapped(ids []specs.LinuxIDMapping, id uint32) bool {
	_, ok := outside(ids, id)
	return ok
}

// identify finds out who the process is to be: by words, looked up in the files
// of the root, or by the numbers of the specification. It also gives the home
// directory, "" when there is none to tell.
func (c *container) identify(root *rootfs.Root, needHome bool) (id identity, home string, err error) {
	u := c.spec.Process.User
	ids := c.ids()
	id = identity{uid: u.UID, gid: u.GID, groups: u.AdditionalGids, setgroups: ids.setgroups}
	words := c.opts.User
	if words == "" {
		words = c.spec.Annotations[AnnotationUser]
	}
	switch {
	case words != "":
		found, err := root.LookupUser(words)
		if err != nil {
			return id, "", fmt.Errorf("find user: %w", err)
		}
		id.uid, id.gid, id.groups, home = found.UID, found.GID, found.Groups, found.Home
	case needHome:
		if found, err := root.LookupUser(strconv.FormatUint(uint64(u.UID), 10)); err == nil {
			home = found.Home
		}
	}
	if !id.setgroups && len(id.groups) > 0 && id.uid == 0 {
		id.groups = nil // root in the container has no file it could need them for
	}
	return id, home, id.check(ids)
}

// check refuses ids that the user namespace does not have.
func (id identity) check(ids idMaps) error {
	const remedy = "give the user a range in /etc/subuid and /etc/subgid and install newuidmap, or run as root"
	if !mapped(ids.uids, id.uid) {
		return fmt.Errorf("user %d does not exist in this user namespace: %s", id.uid, remedy)
	}
	for _, g := range append([]uint32{id.gid}, id.groups...) {
		if !mapped(ids.gids, g) {
			return fmt.Errorf("group %d does not exist in this user namespace: %s", g, remedy)
		}
	}
	if !id.setgroups && len(id.groups) > 0 {
		return fmt.Errorf("supplementary groups cannot be set in this user namespace: %s", remedy)
	}
	return nil
}

// ids are those that exist in the container.
func (c *container) ids() idMaps {
	if c.users != nil {
		return *c.users
	}
	return ownIDs()
}

// hostUID is a user of the container as the caller's namespace has it.
func (c *container) hostUID(uid uint32) (int, bool) {
	if c.users == nil {
		return int(uid), true
	}
	return outside(c.users.uids, uid)
}

func (c *container) hostGID(gid uint32) (int, bool) {
	if c.users == nil {
		return int(gid), true
	}
	return outside(c.users.gids, gid)
}
