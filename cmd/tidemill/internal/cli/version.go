package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the build knows of itself.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func newVersion(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which version this is.", Args: exactArgs()}
	out := addFormat(cmd, formatTable, formatJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := buildVersion()
		if out.value == formatJSON {
			return writeJSON(env.Stdout, v)
		}
		g := grid{header: []any{"version", "revision", "go", "platform"}}
		g.add(v.Version, v.Revision, v.Go, v.OS+"/"+v.Arch)
		return g.write(env.Stdout)
	}
	return cmd
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "unknown", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
