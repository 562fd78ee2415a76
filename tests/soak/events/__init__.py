"""The soak of event streams: many clients on live charts, whose connections break off and are taken up again."""
