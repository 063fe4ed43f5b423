"""Operations: invariants, incidents, alerts, retention, requeue.

Commands that show them belong to cli/, metadata to orchestration/.
"""
