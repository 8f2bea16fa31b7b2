package assign

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the scenarios' answers as they are now; then read the difference")

// TestScenarios reads testdata/*.txt. A scenario is a block of lines: comments,
// what is given, a line of dashes, the answer. Blocks are parted by empty lines.
//
//	members  a b            tasks    orders[0-3,7] joins[0]
//	previous a = orders[0]  claim    a@4 = orders[0-1]
//
// With claims the answers of all generations follow until nothing moves.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")
			for i, block := range blocks {
				given, want, _ := strings.Cut(block, "\n----")
				got, err := answer(given)
				if err != nil {
					t.Fatalf("%v, in\n%s", err, given)
				}
				if want = strings.TrimSpace(want); got != want && !*rewrite {
					t.Errorf("%s\n---- got\n%s\n---- want\n%s", given, got, want)
				}
				blocks[i] = given + "\n----\n" + got
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func answer(given string) (string, error) {
	c := cluster{previous: map[string][]Task{}}
	var claims []Claim
	for line := range strings.Lines(given) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "#" {
			continue
		}
		if word == "members" {
			c.members = strings.Fields(rest)
			continue
		}
		who, list, named := strings.Cut(rest, "=")
		if who = strings.TrimSpace(who); !named {
			list = rest
		}
		tasks, err := parseTasks(list)
		if err != nil {
			return "", err
		}
		switch word {
		case "tasks":
			c.tasks = append(c.tasks, tasks...)
		case "previous":
			c.previous[who] = append(c.previous[who], tasks...)
		case "claim":
			name, generation, _ := strings.Cut(who, "@")
			n, err := strconv.Atoi(generation)
			if err != nil {
				return "", fmt.Errorf("claim %q: want member@generation", who)
			}
			claims = append(claims, Claim{Member: name, Generation: int32(n), Owned: tasks})
		default:
			return "", fmt.Errorf("unknown word %q", word)
		}
	}
	if claims != nil {
		return generations(claims, c.tasks), nil
	}
	plan := c.plan(Plan)
	return strings.TrimSpace(formatPlan(plan) + countMoves(c, plan)), nil
}

// generations plays members that do as they are told until nothing moves.
func generations(claims []Claim, tasks []Task) string {
	var out strings.Builder
	newest := int32(0)
	for _, c := range claims {
		newest = max(newest, c.Generation)
	}
	for range 5 {
		assigned, moving := Step(claims, tasks)
		newest++
		fmt.Fprintf(&out, "generation %d\n%s", newest, formatPlan(assigned))
		if len(moving) == 0 {
			return strings.TrimSpace(out.String())
		}
		fmt.Fprintf(&out, "moving %s\n", formatTasks(moving))
		for i := range claims {
			claims[i].Generation, claims[i].Owned = newest, assigned[claims[i].Member]
		}
	}
	return out.String() + "and so on"
}

func countMoves(c cluster, plan map[string][]Task) string {
	had := map[Task]bool{}
	for _, m := range slices.Compact(slices.Sorted(slices.Values(c.members))) {
		for _, task := range c.previous[m] {
			had[task] = slices.Contains(c.tasks, task)
		}
	}
	owned, all := 0, 0
	for _, known := range had {
		if known {
			owned++
		}
	}
	for _, tasks := range plan {
		all += len(tasks)
	}
	stay := scoreOf(plan, c.previous).stay
	return fmt.Sprintf("%d stay, %d move, %d had no owner", stay, owned-stay, all-owned)
}

func formatPlan(plan map[string][]Task) string {
	var lines []string
	for m, tasks := range plan {
		lines = append(lines, strings.TrimSpace(m+" = "+formatTasks(tasks))+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// formatTasks writes sorted tasks as orders[0-3,7] joins[0].
func formatTasks(tasks []Task) string {
	var words []string
	for len(tasks) > 0 {
		n := slices.IndexFunc(tasks, func(t Task) bool { return t.Sub != tasks[0].Sub })
		if n < 0 {
			n = len(tasks)
		}
		var ranges []string
		for i, j := 0, 0; i < n; i = j {
			for j = i + 1; j < n && tasks[j].Partition == tasks[j-1].Partition+1; j++ {
			}
			first, last := fmt.Sprint(tasks[i].Partition), fmt.Sprint(tasks[j-1].Partition)
			if first != last {
				first += "-" + last
			}
			ranges = append(ranges, first)
		}
		words = append(words, tasks[0].Sub+"["+strings.Join(ranges, ",")+"]")
		tasks = tasks[n:]
	}
	return strings.Join(words, " ")
}

func parseTasks(list string) (tasks []Task, err error) {
	for _, word := range strings.Fields(list) {
		sub, ranges, ok := strings.Cut(strings.TrimSuffix(word, "]"), "[")
		if !ok {
			return nil, fmt.Errorf("tasks %q: want sub[0-3,7]", word)
		}
		for _, r := range strings.Split(ranges, ",") {
			from, to, is := strings.Cut(r, "-")
			if !is {
				to = from
			}
			first, err := strconv.Atoi(from)
			if err != nil {
				return nil, fmt.Errorf("tasks %q: %w", word, err)
			}
			last, err := strconv.Atoi(to)
			if err != nil {
				return nil, fmt.Errorf("tasks %q: %w", word, err)
			}
			for p := first; p <= last; p++ {
				tasks = append(tasks, Task{sub, int32(p)})
			}
		}
	}
	return tasks, nil
}
