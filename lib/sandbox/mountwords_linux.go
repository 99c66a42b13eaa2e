package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes are the flags of a mount that the words of an option list stand for.
type attributes struct {
	set         uint64
	propagation uint64
	recursive   bool     // bind the mounts below, too
	devices     bool     // device nodes may be opened
	copyUp      bool     // begin with what is covered
	fill        bool     // that is, if there is nothing
	data        []string // for the file system itself
}

// attributeWords are those that set an attribute, and those that clear one.
// Each may have an "r" in front, for the mounts below: in our mounts what is set
// is set below in any case.
var attributeWords = map[string]struct{ set, clear uint64 }{
	"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
	"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
	"noatime": {unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME}, "atime": {clear: unix.MOUNT_ATTR_NOATIME},
	"strictatime": {unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME}, "nostrictatime": {clear: unix.MOUNT_ATTR_STRICTATIME},
	"relatime": {clear: unix.MOUNT_ATTR__ATIME}, "norelatime": {},
}

var propagationWords = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED, "unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE,
}

// otherWords are read elsewhere, or say what is so.
var otherWords = []string{"bind", "rbind", "defaults", "silent", "loud", "tmpcopyup", OptionFill}

// parseOptions reads the options of a mount. Later words win over earlier ones
// of the same kind; what is none of ours is for the file system. Device nodes
// are not opened through a mount unless it says "dev": together with a /dev that
// holds none but the usual, that does without a device cgroup what engines do
// with one.
func parseOptions(options []string) attributes {
	a := attributes{propagation: unix.MS_PRIVATE}
	for _, o := range options {
		word, known := attributeWords[o]
		if short, ok := strings.CutPrefix(o, "r"); ok && !known {
			word, known = attributeWords[short]
		}
		switch p, ok := propagationWords[o]; {
		case ok:
			a.propagation = p
		case known:
			a.set = a.set&^word.clear | word.set
			if word.clear == unix.MOUNT_ATTR_NODEV {
				a.devices = true
			} else if word.set == unix.MOUNT_ATTR_NODEV {
				a.devices = false
			}
		case !slices.Contains(otherWords, o):
			a.data = append(a.data, o)
		}
		a.recursive = a.recursive || o == "rbind"
		a.copyUp = a.copyUp || o == "tmpcopyup" || o == OptionFill
		a.fill = a.fill || o == OptionFill
	}
	if !a.devices {
		a.set |= unix.MOUNT_ATTR_NODEV
	}
	return a
}

// check refuses options that would have no effect.
func (a attributes) check(fstype string) error {
	for _, o := range a.data {
		switch key, _, _ := strings.Cut(o, "="); key {
		case "idmap", "ridmap":
			return errors.New("id-mapped mounts are not made")
		case "remount":
			return errors.New("option remount: a mount is made once, with the options that it is to have")
		}
	}
	if a.fill && fstype != "bind" {
		return fmt.Errorf("option %s: a %s is not filled", OptionFill, fstype)
	}
	if a.copyUp && !a.fill && fstype != "tmpfs" {
		return fmt.Errorf("option tmpcopyup: a %s is not filled", fstype)
	}
	return nil
}
