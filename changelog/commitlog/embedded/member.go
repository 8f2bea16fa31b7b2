package embedded

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// OpenMember implements commitlog.Log. Members live in memory: when the process
// is gone there are none, and only one process has the log.
func (l *Log) OpenMember(ctx context.Context, cfg commitlog.GroupConfig) (commitlog.Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open member of group %s: %w", cfg.Group, context.Cause(ctx))
	}
	m, err := l.groups.OpenMember(cfg)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// checkMembers says whether the transaction may carry its group offsets. The
// order lock is held, so a generation that begins after the check finds the
// commit in the journal, where settle waits for it.
func (w *Writer) checkMembers(tx *transaction) error {
	for group, as := range tx.members {
		if err := w.log.groups.Check(group, as); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until everything in the journal by now is visible, so that a new
// owner of a task sees what the one before was just committing. A failed disk
// ends the wait: what is visible then is all that this process will ever see.
func (l *Log) settle(ctx context.Context) error {
	l.order.Lock()
	last := l.order.last
	l.order.Unlock()
	if last == nil {
		return nil
	}
	select {
	case <-last:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
