package dockerfile

import "strings"

// isImageName tells whether s can name an image: [HOST/]PATH[:TAG][@DIGEST].
func isImageName(s string) bool {
	s, digest, has := strings.Cut(s, "@")
	if has && !isDigest(digest) {
		return false
	}
	slash := strings.LastIndexByte(s, '/')
	if colon := strings.LastIndexByte(s, ':'); colon > slash {
		if !isTag(s[colon+1:]) {
			return false
		}
		s = s[:colon]
	}
	if host, path, ok := strings.Cut(s, "/"); ok && isHost(host) {
		s = path
	}
	if s == "" || len(s) > 255 {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !isPathPart(part) {
			return false
		}
	}
	return true
}

// isHost tells a host name, which a first part of a path is only if it does
// not look like one.
func isHost(s string) bool {
	if s != "localhost" && !strings.ContainsAny(s, ".:") && s == strings.ToLower(s) {
		return false
	}
	host, port, has := strings.Cut(s, ":")
	return host != "" && (!has || port != "" && only(port, "")) && only(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz.-")
}

// isPathPart tells letters and digits in lower case with single separators
// between them: ".", "_", "__" or dashes.
func isPathPart(s string) bool {
	for i := 0; ; {
		from := i
		for i < len(s) && only(s[i:i+1], "abcdefghijklmnopqrstuvwxyz") {
			i++
		}
		if i == from {
			return false
		}
		if i == len(s) {
			return true
		}
		from = i
		for i < len(s) && strings.IndexByte("._-", s[i]) >= 0 {
			i++
		}
		switch sep := s[from:i]; {
		case sep == ".", sep == "_", sep == "__", sep != "" && strings.Trim(sep, "-") == "":
		default:
			return false
		}
	}
}

func isTag(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexByte(".-", s[0]) < 0 && only(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz._-")
}

func isDigest(s string) bool {
	algorithm, hex, ok := strings.Cut(s, ":")
	return ok && algorithm != "" && len(hex) >= 32 && only(strings.ToLower(hex), "abcdef")
}

// only tells whether s has digits and the letters alone.
func only(s, letters string) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && strings.IndexByte(letters, s[i]) < 0 {
			return false
		}
	}
	return true
}
