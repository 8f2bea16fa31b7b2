package runtime_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tidemill/tidemill/"

// layers says which packages of the module a package may import. Tests, test
// helpers, commands and examples may import anything.
var layers = map[string][]string{
	"processor":                               {},
	"processor/serde":                         {"processor"},
	"processor/serde/serdetest":               {"processor", "processor/serde"},
	"state":                                   {"processor", "processor/serde"},
	"state/memdb":                             {"state"},
	"state/pebbledb":                          {"state"},
	"state/statetest":                         {"state"},
	"topology":                                {"processor", "processor/serde", "state"},
	"changelog/commitlog":                     {"changelog/commitlog/recordbatch"},
	"changelog/commitlog/recordbatch":         {},
	"changelog/commitlog/group":               {"changelog/commitlog"},
	"changelog/commitlog/embedded":            {"changelog/commitlog", "changelog/commitlog/recordbatch", "changelog/commitlog/group"},
	"changelog/commitlog/kafka":               {"changelog/commitlog", "changelog/commitlog/recordbatch", "changelog/commitlog/kafka/internal/wire"},
	"changelog/commitlog/kafka/internal/wire": {"changelog/commitlog"},
	"changelog":                               {"processor", "state", "changelog/commitlog", "changelog/commitlog/recordbatch"},
	// Only programs that come from goka import the adapter, and with it goka.
	"processor/gokaprocessor":           {"processor", "processor/serde", "state", "topology", "processor/gokaprocessor/gokacodec"},
	"processor/gokaprocessor/gokacodec": {"processor/serde"},
	"processor/gokaprocessor/gokaadopt": {"processor", "state", "topology", "changelog", "changelog/commitlog", "changelog/commitlog/recordbatch"},
	"runtime/assign":                    {},
	"runtime/internal/task": {"processor", "state", "topology", "changelog", "changelog/commitlog",
		"changelog/commitlog/recordbatch"},
	"runtime/internal/globals": {"state", "topology", "changelog", "changelog/commitlog", "changelog/commitlog/recordbatch"},
	"runtime/internal/worker": {"processor", "state", "topology", "changelog", "changelog/commitlog",
		"changelog/commitlog/recordbatch", "runtime/internal/task"},
	"runtime/query": {"processor", "processor/serde", "state", "topology", "changelog/commitlog", "changelog/commitlog/recordbatch"},
	"runtime": {"processor", "processor/serde", "state", "state/memdb", "state/pebbledb", "topology", "changelog", "changelog/commitlog",
		"changelog/commitlog/recordbatch", "changelog/commitlog/embedded", "changelog/commitlog/kafka", "runtime/assign", "runtime/internal/globals", "runtime/internal/task", "runtime/internal/worker",
		"runtime/query"},
}

// Imports point one way; the table above is the architecture.
func TestImportsFollowTheLayers(t *testing.T) {
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if anything(pkg) {
			return nil
		}
		allowed, known := layers[pkg]
		if !known {
			t.Errorf("package %s is not in the table of layers; add it with what it may import", pkg)
			return nil
		}
		for _, imported := range importsOf(t, path) {
			if inner, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(allowed, inner) {
				t.Errorf("%s: %s must not import %s; imports point one way, see the table of layers", path, pkg, inner)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func anything(pkg string) bool {
	for _, prefix := range []string{"cmd", "examples", "runtime/streamtest", "runtime/simtest", "changelog/commitlog/commitlogtest",
		"changelog/commitlog/kafka/kafkatest", "changelog/commitlog/kafka/internal/faultproxy"} {
		if pkg == prefix || strings.HasPrefix(pkg, prefix+"/") {
			return true
		}
	}
	return false
}

func importsOf(t *testing.T, path string) (imports []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, p)
	}
	return imports
}
