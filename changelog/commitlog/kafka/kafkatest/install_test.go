//go:build unix

package kafkatest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program puts a shell script of this name into a directory.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// bare is an environment in which neither Java nor Maven nor a cache exists. It
// returns the directory that is PATH.
func bare(t *testing.T) string {
	t.Helper()
	path := t.TempDir()
	t.Setenv("PATH", path)
	t.Setenv("JAVA_HOME", "")
	t.Setenv(CacheEnv, t.TempDir())
	return path
}

const java17 = `echo 'openjdk version "17.0.15" 2025-04-15' >&2`

// What is missing is named, all of it, with what to install.
func TestMissingPrograms(t *testing.T) {
	for name, c := range map[string]struct {
		java, maven string
		want        []string
		not         string
	}{
		"nothing there": {want: []string{"Java 17 or newer is needed and there is none on PATH", "openjdk", "no mvn on PATH", "maven"}},
		"no Maven":      {java: java17, want: []string{"no mvn on PATH"}, not: "Java"},
		"no Java":       {maven: "exit 0", want: []string{"Java 17 or newer"}, not: "mvn"},
		"old Java":      {java: `echo 'java version "1.8.0_402"' >&2`, maven: "exit 0", want: []string{"is Java 8", "JAVA_HOME"}, not: "mvn"},
		"Java 11":       {java: `echo 'openjdk version "11.0.2" 2019-01-15' >&2`, want: []string{"is Java 11", "no mvn"}},
		"broken Java":   {java: "echo no such VM >&2; exit 3", maven: "exit 0", want: []string{"exit status 3", "no such VM"}},
		"mute Java":     {java: "exit 0", maven: "exit 0", want: []string{"does not say which Java it is"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := bare(t)
			if c.java != "" {
				program(t, path, "java", c.java)
			}
			if c.maven != "" {
				program(t, path, "mvn", c.maven)
			}
			_, err := Start(t.Context(), Options{})
			if err == nil {
				t.Fatal("started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q: want %q in it", err, want)
				}
			}
			if c.not != "" && strings.Contains(err.Error(), c.not) {
				t.Errorf("error %q: want no word of %s", err, c.not)
			}
		})
	}
}

func TestJavaHomeGoesFirst(t *testing.T) {
	path, home := bare(t), t.TempDir()
	program(t, path, "java", java17)
	t.Setenv("JAVA_HOME", home)
	if _, err := findJava(t.Context()); err == nil || !strings.Contains(err.Error(), "JAVA_HOME="+home) {
		t.Errorf("error %v: want one that names JAVA_HOME", err)
	}
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	program(t, filepath.Join(home, "bin"), "java", java17)
	if got, err := findJava(t.Context()); err != nil || got != filepath.Join(home, "bin", "java") {
		t.Errorf("found %q, %v: want the one in JAVA_HOME", got, err)
	}
}

// fakeMaven writes a line into a file each time it is run, then does what body
// says with $lib, the output folder.
func fakeMaven(t *testing.T, body string) (cache string, runs func() int) {
	t.Helper()
	path := bare(t)
	t.Setenv("PATH", path+":/usr/bin:/bin")
	count := filepath.Join(t.TempDir(), "runs")
	program(t, path, "java", java17)
	program(t, path, "mvn", fmt.Sprintf(`
for a in "$@"; do case "$a" in -DoutputDirectory=*) lib="${a#*=}";; -Dkafka.version=*) v="${a#*=}";; esac; done
echo run >>%s
mkdir -p "$lib"
%s
`, count, body))
	return os.Getenv(CacheEnv), func() int {
		text, err := os.ReadFile(count)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "run")
	}
}

const wholeDownload = `for j in kafka_2.13 kafka-tools kafka-streams; do echo jar >"$lib/$j-$v.jar"; done`

// Processes that fetch at once get the same whole folder, fetched once. Here they
// are goroutines: the lock treats both alike.
func TestFetchOnce(t *testing.T) {
	cache, runs := fakeMaven(t, "sleep 0.3; "+wholeDownload)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			i, err := findInstallation(context.Background(), "4.3.1")
			if err != nil {
				t.Error(err)
			} else if jars, _ := filepath.Glob(filepath.Join(i.jars, "*.jar")); len(jars) != 3 {
				t.Errorf("jars %q", jars)
			}
		})
	}
	wg.Wait()
	if n := runs(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A download that failed, brought too little or was killed is not taken for one
// that worked, and the next try does not mind it.
func TestHalfDownload(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"Maven fails":     {`echo jar >"$lib/kafka_2.13-$v.jar"; echo "no route to the registry"; exit 1`, "no route to the registry"},
		"too little":      {`echo jar >"$lib/kafka_2.13-$v.jar"`, "brought no kafka-tools"},
		"killed half way": {`echo jar >"$lib/kafka_2.13-$v.jar"; exec sleep 60`, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			cache, _ := fakeMaven(t, c.body)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := findInstallation(ctx, "4.3.1")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "Kafka 4.3.1") {
				t.Errorf("error %v: want %q", err, c.want)
			}
			// What a process killed with its parent leaves:
			if err := os.MkdirAll(filepath.Join(cache, workPrefix+"1", "lib"), 0o755); err != nil {
				t.Fatal(err)
			}
			if jarsIn(cache, "4.3.1").complete() {
				t.Fatal("a half download is taken for a whole")
			}
			path, _, _ := strings.Cut(os.Getenv("PATH"), ":")
			program(t, path, "mvn", `for a in "$@"; do case "$a" in -DoutputDirectory=*) lib="${a#*=}";; -Dkafka.version=*) v="${a#*=}";; esac; done
mkdir -p "$lib"; `+wholeDownload)
			if _, err := findInstallation(t.Context(), "4.3.1"); err != nil {
				t.Errorf("the next try: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, workPrefix+"*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
