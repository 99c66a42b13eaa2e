package oci

// PlatformFlag is the value of a flag that takes what ParsePlatform reads; nil
// while none is given.
type PlatformFlag struct{ *Platform }

// Set is called with what was given. An empty word is as if nothing was.
func (f *PlatformFlag) Set(word string) error {
	f.Platform = nil
	if word == "" {
		return nil
	}
	p, err := ParsePlatform(word)
	if err == nil {
		f.Platform = &p
	}
	return err
}

// String is the platform, or nothing.
func (f *PlatformFlag) String() string {
	if f.Platform == nil {
		return ""
	}
	return PlatformString(*f.Platform)
}

// Type is that of a flag with one word.
func (f *PlatformFlag) Type() string { return "string" }
