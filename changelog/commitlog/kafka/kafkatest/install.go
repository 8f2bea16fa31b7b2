package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// oldestJava is the oldest Java that the broker of Kafka 4 runs on.
const oldestJava = 17

// installation is what it takes to run one version of Kafka.
type installation struct {
	java string // the program
	jars string // the folder of all jars
}

// findInstallation finds Java and the jars, which it fetches if they are not in
// the cache. All that is missing is said at once.
func findInstallation(ctx context.Context, version string) (installation, error) {
	java, javaErr := findJava(ctx)
	cache, err := cacheDir()
	if err != nil {
		return installation{}, errors.Join(javaErr, err)
	}
	jars := jarsIn(cache, version)
	if jars.complete() {
		return installation{java, jars.dir}, javaErr
	}
	maven, mavenErr := findMaven()
	if err := errors.Join(javaErr, mavenErr); err != nil {
		return installation{}, err
	}
	if err := jars.fetch(ctx, maven); err != nil {
		return installation{}, err
	}
	return installation{java, jars.dir}, nil
}

// findJava takes the Java of JAVA_HOME, and without one the first on PATH.
func findJava(ctx context.Context) (string, error) {
	advice := installAdvice("openjdk-17-jdk-headless", "openjdk@17")
	program, from := "java", "on PATH"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		program, from = filepath.Join(home, "bin", "java"), "in JAVA_HOME="+home
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("Java %d or newer is needed and there is none %s: %s", oldestJava, from, advice)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w: %s; %s", path, err, firstLine(string(out)), advice)
	}
	switch release, ok := javaRelease(string(out)); {
	case !ok:
		return "", fmt.Errorf("%s -version does not say which Java it is: %q; %s", path, firstLine(string(out)), advice)
	case release < oldestJava:
		return "", fmt.Errorf("%s is Java %d, and Kafka needs Java %d or newer: %s, or let JAVA_HOME name a newer one", path, release, oldestJava, advice)
	}
	return path, nil
}

var javaVersion = regexp.MustCompile(`version "(1\.)?([0-9]+)`)

// javaRelease reads 17 out of `openjdk version "17.0.15"`, and 8 out of "1.8.0".
func javaRelease(output string) (int, bool) {
	m := javaVersion.FindStringSubmatch(output)
	if m == nil {
		return 0, false
	}
	release, err := strconv.Atoi(m[2])
	return release, err == nil
}

func findMaven() (string, error) {
	path, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("Maven is needed to fetch Kafka and there is no mvn on PATH: %s", installAdvice("maven", "maven"))
	}
	return path, nil
}

func installAdvice(debian, brew string) string {
	if runtime.GOOS == "darwin" {
		return "brew install " + brew
	}
	return "install it, for example with: apt-get install " + debian
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
