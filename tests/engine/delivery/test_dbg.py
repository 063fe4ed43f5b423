from tests.engine.delivery.conftest import *
from tests.engine.delivery.test_flow_control import *
def test_dbg(dead_relay):
    sender,_=dead_relay
    for t in (0,5,40):
        d=sender.run(NOW+timedelta(seconds=t)).delivered["email"]
        print(t,d); print(sender.rows("select * from channel_flow"))
    print(sender.rows("select status,attempts,count(*),min(due_at) from campaign_deliveries group by 1,2"))
    assert 0
